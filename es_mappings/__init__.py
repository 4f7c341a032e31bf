"""Index settings, mappings and roles as data."""
