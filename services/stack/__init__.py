"""The local stack: real Elasticsearch, real Redis, dispatcher, worker and API as supervised processes."""
