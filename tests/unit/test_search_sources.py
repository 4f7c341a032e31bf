"""What hits are: the sources in an answer, and an answer that has none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np

from services.deadline import Deadline
from services.search import sources
from services.search.ask import Ask, Fused, Rerank
from services.search.fusion import Candidates, fusion_named
from services.search.legs import Lexical
from services.search.rerank import heads
from services.search.table import fuse, side_by_side
from services.search.trips import Trips

FILTERED: dict[str, Any] = {"timed_out": False, "status": 200}
"""What `filter_path` leaves of an answer without hits."""


class Node:
    """A client whose `_msearch` answers every search alike."""

    def __init__(self, item: dict[str, Any]) -> None:
        self.item = item

    def options(self, **_: Any) -> Node:
        return self

    async def msearch(self, *, searches: Sequence[Any], **_: Any) -> dict[str, Any]:
        return {"responses": [self.item] * (len(searches) // 2)}


def hit(ord_: int, text: str) -> dict[str, Any]:
    return {"fields": {"ord": [ord_]}, "_source": {"text": text}}


def nothing() -> Fused:
    empty = (np.empty(0, np.int32), np.empty(0, np.float32))
    table: Candidates = side_by_side([Lexical().column], [empty])
    return fuse(table, [0.0], *fusion_named("rrf", {}))


def test_sources_are_found_by_ord() -> None:
    answer = {"hits": {"hits": [hit(7, "seven"), hit(2, "two")]}} | FILTERED
    assert sources.by_ord(answer) == {7: {"text": "seven"}, 2: {"text": "two"}}


def test_an_answer_without_hits_has_no_sources() -> None:
    assert sources.by_ord(FILTERED) == {}


def test_a_search_without_candidates_is_reranked_to_nothing() -> None:
    fusion, params = fusion_named("rrf", {})
    ask = Ask("index", "text", (Lexical(),), fusion, params, rerank=Rerank("ce", 20))
    trips = Trips(Node(FILTERED), "index", 1)  # type: ignore[arg-type]
    [head] = asyncio.run(heads(ask, ["text"], [nothing()], trips, None, Deadline()))  # type: ignore[arg-type]
    assert (len(head.ce), head.sources, head.failure) == (0, {}, None)
