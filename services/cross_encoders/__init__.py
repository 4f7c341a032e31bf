"""Cross-encoders: models that read query and passage together; their registry, and copies in the store."""
