"""The BM25 query for a text, however long the text is.

Elasticsearch turns a `match` into one clause per token, repeated tokens included, and refuses more than
`max_clause_count`, which follows the heap and is 1,024 at least. A long text is therefore analysed first
and sent as one clause per distinct term, boosted by its count: Lucene adds up the same scores.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from elasticsearch import Elasticsearch

from services.elastic.errors import translated

_SHORT = 1_000
"""Tokens that every node takes as they are."""
_TOKEN = re.compile(r"[A-Za-z0-9_]+|[^\x00-\x7f]")
"""At least as many matches as the analyzer finds tokens: one per ASCII word, one per other character."""
_PIECE = 5_000
"""Characters analysed at once: below index.analyze.max_token_count (10,000) whatever they are."""


def match(client: Elasticsearch, index: str, text: str) -> dict[str, Any]:
    """The query that scores passages by BM25 against a text.

    Raises:
        NotFound: a long text, and no such index.
    """
    if len(text) <= _SHORT or sum(1 for _ in _TOKEN.finditer(text)) <= _SHORT:
        return {"match": {"text": {"query": text}}}
    counts: Counter[str] = Counter()
    for piece in _pieces(text):
        counts.update(tokens(client, index, piece))
    clauses = [{"term": {"text": {"value": term, "boost": count}}} for term, count in sorted(counts.items())]
    return {"bool": {"should": clauses}} if clauses else {"match_none": {}}


def tokens(client: Elasticsearch, index: str, text: str) -> list[str]:
    """The terms that the index makes of a text, in order."""
    with translated(f"analysing with {index}"):
        reply = client.indices.analyze(index=index, field="text", text=text)
    return [token["token"] for token in reply["tokens"]]


def _pieces(text: str) -> Iterator[str]:
    """The text cut at white space into pieces of at most 5,000 characters (anywhere where there is none)."""
    while len(text) > _PIECE:
        cut = max(text.rfind(space, 0, _PIECE) for space in " \n\t")
        cut = cut if cut > 0 else _PIECE
        yield text[:cut]
        text = text[cut:]
    yield text
