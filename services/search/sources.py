"""What hits are, by key: the fields of their sources, fetched for many at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.search.keys import Clause, Keys

PASSAGE = ("pid", "ord", "title", "text", "meta")
"""All that a passage is, but its vectors."""


def body(keys: Keys, wanted: Sequence[int], fields: Sequence[str]) -> Clause:
    """The search for the sources of some hits."""
    told = {name: value for name, value in keys.body.items() if name != "stored_fields"}
    found: Clause = {"query": keys.clause(wanted), "size": len(wanted), "track_total_hits": False}
    return found | told | {"_source": list(fields)}


def by_key(keys: Keys, item: Clause) -> dict[int, dict[str, Any]]:
    """The sources in an answer, by key."""
    return {keys.of(hit): hit.get("_source", {}) for hit in item["hits"]["hits"]}
