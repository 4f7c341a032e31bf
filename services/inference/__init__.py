"""Models as a service: one process that encodes and reranks, and the client that others ask it with."""
