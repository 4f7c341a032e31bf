"""Collections: passages, queries and qrels under one name."""
