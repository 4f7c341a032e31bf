"""Filters of candidates, one per file, registered by name."""
