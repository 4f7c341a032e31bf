"""Readers of the field's files: scores, negatives and runs that others made."""
