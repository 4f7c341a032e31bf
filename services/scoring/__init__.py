"""Cross-encoder scores of (query, passage) pairs: computed once, kept, read by whoever filters."""
