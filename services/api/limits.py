"""What one request may ask for. Those of a search itself (size, window, query) are in `SearchRequest`."""

from __future__ import annotations

BODY_BYTES = 8 * 2**20
BODIES_BYTES = 64 * 2**20
"""Of the bodies of all requests together."""
SMALL_BODY = 64 * 2**10
"""Of each body so many bytes do not count there."""
BODY_SECONDS = 30.0
"""For a whole body to arrive."""
VALUES = 10_000
"""Values that a body is made of, all its lists and objects together."""
LONGEST_MS = 20_000.0
"""For a whole request, whatever its `budget_ms`; the service waits a little longer before it ends."""
TEXTS = 2_048
"""Texts of one embeddings request; as many as OpenAI's own service takes."""
DOCUMENTS = 1_000
"""Documents of one rerank request."""
TEXT_CHARACTERS = 100_000
"""Of one text. Models read its beginning, as far as their length goes."""
