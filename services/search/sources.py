"""What hits are, by ord: the fields of their sources, fetched for many at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Clause = dict[str, Any]

PASSAGE = ("pid", "ord", "title", "text", "meta")
"""All that a passage is, but its vectors."""


def body(ords: Sequence[int], fields: Sequence[str]) -> Clause:
    """The search for the sources of some hits."""
    return {
        "query": {"terms": {"ord": list(ords)}},
        "size": len(ords),
        "track_total_hits": False,
        "_source": [*fields],
        "sort": ["ord"],
    }


def with_sources(search: Clause, fields: Sequence[str]) -> Clause:
    """A trimmed search that brings its hits' sources as well."""
    return {key: value for key, value in search.items() if key != "stored_fields"} | {"_source": [*fields]}


def by_ord(item: Clause) -> dict[int, Clause]:
    """The sources in an answer, by ord; of an answer without hits `filter_path` leaves no `hits` either."""
    hits = item.get("hits", {}).get("hits", [])
    return {hit["sort"][-1]: hit.get("_source", {}) for hit in hits}
