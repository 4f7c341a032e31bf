"""What hits are: the sources in an answer, and an answer that has none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.deadline import Deadline
from services.errors import Overloaded, Unavailable
from services.search import sources
from services.search.ask import Ask, Fused, Rerank, Timing
from services.search.engine import Engine
from services.search.failures import Failure
from services.search.fusion import fusion_named
from services.search.legs import Lexical
from services.search.pace import Pulse
from services.search.page import page
from services.search.request import SearchRequest
from services.search.rerank import Head, heads
from services.search.result import answer
from services.search.table import fuse, side_by_side
from services.search.trips import Trips
from services.settings import Settings

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
    return {"sort": [ord_], "_source": {"text": text}}


def fused(*ords: int) -> Fused:
    """BM25 alone ranked these, in this order."""
    found = np.array(ords, np.int32), -np.arange(len(ords), dtype=np.float32)
    return fuse(side_by_side([Lexical().column], [found]), [0.0], *fusion_named("rrf", {}))


class Lengths:
    """A cross-encoder: a passage's logit is the length of its text."""

    async def rerank(self, model: str, query: str, texts: Sequence[str], deadline: Deadline) -> Any:
        return np.array([len(text) for text in texts], np.float32)


SETTINGS = Settings(home=Path("unused"))
FUSION, PARAMS = fusion_named("rrf", {})
ASK = Ask("index", "text", (Lexical(),), FUSION, PARAMS, rerank=Rerank("ce", 20))


def head_of(item: dict[str, Any], *ords: int) -> Head:
    trips = Trips(Node(item), "index", 1, Pulse())  # type: ignore[arg-type]
    models: Any = Lengths()
    return asyncio.run(heads(ASK, ["text"], [fused(*ords)], trips, models, Deadline(), Deadline()))[0]


def engine(item: dict[str, Any]) -> Engine:
    unasked: Any = None
    return Engine(Node(item), SETTINGS, unasked, unasked)  # type: ignore[arg-type]


SOME = {"hits": {"hits": [hit(7, "seven"), hit(2, "two")]}} | FILTERED | {"timed_out": True}
"""Of three, as the time was over."""


def test_sources_are_found_by_ord() -> None:
    assert sources.by_ord(SOME) == {7: {"text": "seven"}, 2: {"text": "two"}}


def test_an_answer_without_hits_has_no_sources() -> None:
    assert sources.by_ord(FILTERED) == {}


def test_a_search_without_candidates_is_reranked_to_nothing() -> None:
    head = head_of(FILTERED)
    assert (len(head.ce), head.sources, head.failure) == (0, {}, None)


def test_a_passage_whose_text_did_not_arrive_is_not_reranked() -> None:
    head = head_of(SOME, 5, 7, 2)
    np.testing.assert_array_equal(head.ce, [np.nan, 5.0, 3.0])
    assert str(head.failure) == "rerank:partial"
    assert "2 of 3 passages" in (head.failure.note if head.failure else "")


@pytest.mark.parametrize(
    ("size", "fields", "by"), [(3, ("text",), "last"), (4, ("text",), "deadline"), (3, (), "deadline")]
)
def test_a_reranker_has_the_time_of_a_fetch_that_is_not_needed(
    size: int, fields: tuple[str, ...], by: str
) -> None:
    class Told:
        async def rerank(self, model: str, query: str, texts: Sequence[str], deadline: Deadline) -> Any:
            until.append(deadline)
            return np.zeros(len(texts), np.float32)

    until: list[Deadline] = []
    times = {"deadline": Deadline.after(50_000), "last": Deadline.after(60_000)}
    ask = replace(ASK, size=size, source=fields, rerank=Rerank("ce", 3))
    found = {"hits": {"hits": [hit(o, "text") for o in range(3)]}} | FILTERED
    trips = Trips(Node(found), "index", 1, Pulse())  # type: ignore[arg-type]
    asyncio.run(heads(ask, ["text"], [fused(0, 1, 2, 3)], trips, Told(), times["deadline"], times["last"]))  # type: ignore[arg-type]
    assert until == [times[by]]


class Shelves:
    """A client that has every passage, and counts those of each search."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def options(self, **_: Any) -> Shelves:
        return self

    async def msearch(self, *, searches: Sequence[Any], **_: Any) -> dict[str, Any]:
        bodies = [search["query"]["terms"]["ord"] for search in searches[1::2]]
        self.asked += map(len, bodies)
        return {"responses": [{"hits": {"hits": [hit(o, "x" * o) for o in ords]}} for ords in bodies]}


class Overrun(Lengths):
    """Takes one block, and no more."""

    def __init__(self) -> None:
        self.taken = 0

    async def rerank(self, model: str, query: str, texts: Sequence[str], deadline: Deadline) -> Any:
        self.taken += 1
        if self.taken > 1:
            raise Overloaded("full")
        return await super().rerank(model, query, texts, deadline)


class Tired(Lengths):
    """Reaches two passages fewer than asked for."""

    async def rerank(self, model: str, query: str, texts: Sequence[str], deadline: Deadline) -> Any:
        found = await super().rerank(model, query, texts, deadline)
        found[-2:] = np.nan
        return found


@pytest.mark.parametrize(
    ("models", "seconds", "asked", "reached", "note"),
    [
        (Lengths(), None, [300], 300, ""),
        (Lengths(), 60, [64, 128, 108], 300, ""),
        (Tired(), 60, [64], 62, "rerank:partial: 62 of 300 passages were reached"),
        (Overrun(), 60, [64, 128], 64, "rerank:partial: 64 of 300 passages were reached: full"),
    ],
    ids=["no deadline", "time enough", "no time for more", "no room for more"],
)
def test_texts_of_a_deep_window_are_fetched_as_far_as_there_is_time(
    models: Any, seconds: float | None, asked: list[int], reached: int, note: str
) -> None:
    node, deadline = Shelves(), Deadline.after(seconds and 1000 * seconds)
    ask = replace(ASK, rerank=Rerank("ce", 300))
    trips = Trips(node, "index", 1, Pulse())  # type: ignore[arg-type]
    [head] = asyncio.run(heads(ask, ["text"], [fused(*range(400))], trips, models, deadline, deadline))
    assert node.asked == asked
    np.testing.assert_array_equal(head.ce[:reached], np.arange(reached))
    assert np.isnan(head.ce[reached:]).tolist() == [True] * (300 - reached)
    assert (head.failure.note if head.failure else "") == note


def test_a_node_without_room_for_the_fetch_leaves_hits_out() -> None:
    full = {"error": {"type": "es_rejected_execution_exception", "reason": "queue"}, "status": 429}
    found, lost = asyncio.run(
        engine(full).sources(replace(ASK, deadline=Deadline.after(5_000)), [5], {7: {}}, sources.PASSAGE)
    )
    assert (found, str(lost)) == ({7: {}}, "fetch:overloaded")


def test_a_fetch_that_ran_out_of_time_gives_what_it_has() -> None:
    found, lost = asyncio.run(engine(SOME).sources(ASK, [5, 7, 2], {}, sources.PASSAGE))
    assert (set(found), str(lost)) == ({7, 2}, "fetch:partial")


def test_a_fetch_that_ran_out_of_all_its_time_gives_nothing() -> None:
    spent = engine(FILTERED | {"timed_out": True})
    found, lost = asyncio.run(spent.sources(ASK, [5, 7], {}, sources.PASSAGE))
    assert (found, str(lost)) == ({}, "fetch:partial")
    with pytest.raises(Unavailable, match="not one of 2 hits"):
        asyncio.run(engine(FILTERED).sources(ASK, [5, 7], {}, sources.PASSAGE))


def test_a_fetch_is_not_waited_for_beyond_the_deadline_and_late_is_not_lost() -> None:
    class Asleep(Node):
        async def msearch(self, *, searches: Sequence[Any], **_: Any) -> dict[str, Any]:
            await asyncio.sleep(60)
            return {}

    node: Any = Asleep(FILTERED)
    late, asked = replace(engine(FILTERED), client=node), replace(ASK, deadline=Deadline.after(0))
    found, lost = asyncio.run(late.sources(asked, [5, 7], {}, sources.PASSAGE))
    assert (found, str(lost)) == ({}, "fetch:timeout")
    late.pace.pulse.silence = 3.0
    with pytest.raises(Unavailable, match="no answer in time"):
        asyncio.run(late.sources(asked, [5, 7], {}, sources.PASSAGE))


def test_hits_that_could_not_be_fetched_are_left_out_and_the_others_keep_their_ranks() -> None:
    ranked = page(ASK, fused(7, 5, 2), Head(), [], Timing())
    there = {o: {"pid": f"p{o}", "ord": o, "text": str(o)} for o in (7, 2)}
    lost = Failure.partial("fetch", "1 of 3 hits could not be fetched")
    result = answer("c", SearchRequest(query="text"), ASK, ranked, there, lost, {"took": 1.0})
    assert [(hit["rank"], hit["pid"]) for hit in result.hits] == [(1, "p7"), (3, "p2")]
    assert result.degraded == ["fetch:partial"]
    assert any("1 of 3 hits could not be fetched" in note for note in result.notes)


def test_an_answer_whose_hits_are_all_there_lacks_nothing() -> None:
    ranked = page(ASK, fused(7), Head(), [], Timing())
    there = {7: {"pid": "p7", "ord": 7, "text": ""}}
    result = answer("c", SearchRequest(query="text"), ASK, ranked, there, None, {"took": 1.0})
    assert (len(result.hits), result.degraded) == (1, [])
