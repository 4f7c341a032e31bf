"""Keys of the HTTP service: what they are, where they are kept, how they are checked."""
