"""Shapes in which others ask for embeddings and reranking. One file per dialect, both directions.

Each is pure translation: what came -> a call of `ModelService` -> an answer, for whoever serves it, and (for
`HttpModels`) our call -> what to send -> what came back.
"""
