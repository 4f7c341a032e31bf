"""Models that others made: their folders on disk, where they come from, their copies in the store."""
