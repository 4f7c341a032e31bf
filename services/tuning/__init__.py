"""Tuning: which fusion a collection is served best by, and whether it needs one at all."""
