"""The gateway: an Elasticsearch-compatible proxy that answers hybrid searches itself."""
