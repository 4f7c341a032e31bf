"""Source of the Elasticsearch analysis plugin that brings `english` to nodes without it."""
