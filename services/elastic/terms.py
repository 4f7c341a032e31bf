"""The BM25 query for a text, however long the text is.

Elasticsearch turns a `match` into one clause per token, repeated tokens included, and refuses more than
`max_clause_count`, which follows the heap and is 1,024 at least. A long text is therefore analysed first
and sent as one clause per distinct term, boosted by its count: Lucene adds up the same scores.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from elasticsearch import AsyncElasticsearch, Elasticsearch

from services.elastic.errors import translated

_SHORT = 1_000
"""Tokens that every node takes as they are."""
_TOKEN = re.compile(r"[A-Za-z0-9_]+|[^\x00-\x7f]")
"""At least as many matches as the analyzer finds tokens: one per ASCII word, one per other character."""
_PIECE = 5_000
"""Characters analysed at once: below index.analyze.max_token_count (10,000) whatever they are."""
_TEXT = {"text": 1.0}


def match(client: Elasticsearch, index: str, text: str) -> dict[str, Any]:
    """The query that scores passages by BM25 against a text.

    Raises:
        NotFound: a long text, and no such index.
    """
    if is_short(text):
        return short(text)
    counts: Counter[str] = Counter()
    for piece in _pieces(text):
        counts.update(tokens(client, index, piece))
    return of_terms(counts)


async def match_async(
    client: AsyncElasticsearch, index: str, text: str, fields: Mapping[str, float] = _TEXT
) -> dict[str, Any]:
    """As `match`, on any fields of the passages' analyzer; of several fields the best one counts.

    Args:
        client: Any user that may read the index.
        index: Where the analyzer is.
        text: Of any length.
        fields: Boost by field.
    """
    if is_short(text):
        return short(text, fields)
    counts: Counter[str] = Counter()
    with translated(f"analysing with {index}"):
        for piece in _pieces(text):
            reply = await client.indices.analyze(index=index, field="text", text=piece)
            counts.update(token["token"] for token in reply["tokens"])
    return of_terms(counts, fields)


def is_short(text: str) -> bool:
    """Whether every node takes the text as it is."""
    return len(text) <= _SHORT or sum(1 for _ in _TOKEN.finditer(text)) <= _SHORT


def short(text: str, fields: Mapping[str, float] = _TEXT) -> dict[str, Any]:
    """The query for a short text."""
    if len(fields) > 1:
        boosted = [f"{name}^{boost:g}" for name, boost in fields.items()]
        return {"multi_match": {"query": text, "fields": boosted, "type": "best_fields"}}
    [(name, boost)] = fields.items()
    return {"match": {name: {"query": text} | ({} if boost == 1 else {"boost": boost})}}


def of_terms(counts: Mapping[str, int], fields: Mapping[str, float] = _TEXT) -> dict[str, Any]:
    """The query for terms, each with how often it stands in the text."""
    if not counts:
        return {"match_none": {}}
    each = [
        {
            "bool": {
                "should": [
                    {"term": {name: {"value": term, "boost": count * boost}}}
                    for term, count in sorted(counts.items())
                ]
            }
        }
        for name, boost in fields.items()
    ]
    return each[0] if len(each) == 1 else {"dis_max": {"queries": each}}


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
