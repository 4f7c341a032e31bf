"""Elasticsearch: client, bulk, index versions, msearch."""
