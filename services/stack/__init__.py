"""The local stack: supervised Elasticsearch, Redis, dispatcher, worker, API."""
