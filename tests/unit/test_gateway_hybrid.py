"""What the gateway asks and counts for a question to a collection; the engine itself is stood in for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from services.deadline import Deadline
from services.gateway import body, hybrid
from services.gateway.hybrid import Hybrid
from services.gateway.native import Refused
from services.gateway.node import Node
from services.gateway.params import Params
from services.gateway.upstream import Upstream
from services.search.ask import Ask, Timing
from services.search.engine import Engine
from services.search.fusion import fusion_named
from services.search.legs import Lexical
from services.search.pace import Pace
from services.search.page import page
from services.search.rerank import Head
from services.search.table import fuse, side_by_side
from services.settings import Settings

YEAR = {"range": {"meta.year": {"gte": 1970}}}
TOPIC = {"term": {"meta.topic": "nature"}}
LATER = {"term": {"title": "sea"}}
ROCK = {"term": {"title": "rock"}}


class Counting(Upstream):
    """A node that finds nothing, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")
        self.asked: list[Any] = []

    async def call(
        self, path: bytes, query: bytes, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes]:
        self.asked = [json.loads(line) for line in body.splitlines()]
        return 200, b'{"responses":[{"_shards":{},"hits":{"hits":[]}}]}'


class Finding:
    """An engine whose request has a filter, and that finds nothing."""

    settings = Settings()

    def __init__(self) -> None:
        self.ranked: Ask | None = None
        self.served, self.pace = SimpleNamespace(of=self._version), Pace()

    async def _version(self, *_: Any) -> Any:
        return SimpleNamespace(passages="msm-squad-passages-v1")

    async def resolved(self, *_: Any) -> Ask:
        method, params = fusion_named("rrf", {})
        return Ask("i", "tide", (Lexical(),), method, params, filters=(YEAR,))

    async def rank(self, ask: Ask) -> Any:
        self.ranked = ask
        none = np.empty(0)
        return SimpleNamespace(
            ords=none, scores=none, degraded=(), start=0, reranked=0, fused=SimpleNamespace(scores=none)
        )


def test_what_hits_must_fulfil_is_counted_but_for_post_filter() -> None:
    query = {"bool": {"must": {"match": {"text": "tide"}}, "filter": TOPIC, "must_not": ROCK}}
    read = body.read({"query": query, "post_filter": LATER, "size": 0}, Params(), "ext.msmctl")
    engine, upstream = Finding(), Counting()
    search = Hybrid(
        cast(Engine, engine), Node(upstream, {}, {}), "msm-squad", "squad", hybrid.requested({}, read), read,
        Params(), Deadline(),
    )  # fmt: skip
    asyncio.run(search.answer())
    counted = [YEAR, TOPIC, {"bool": {"must_not": [ROCK]}}]
    assert engine.ranked is not None
    assert list(engine.ranked.filters) == [*counted, LATER]
    _, count = upstream.asked
    assert count["query"] == {"bool": {"must": [query], "filter": counted}}
    assert count["post_filter"] == LATER


class Late(Counting):
    """A node that answers in a minute."""

    async def call(self, *_: Any) -> tuple[int, bytes]:
        await asyncio.sleep(60)
        raise AssertionError


class Ranking(Finding):
    """An engine that ranks three passages."""

    async def rank(self, ask: Ask) -> Any:
        found = np.arange(3, dtype=np.int32), -np.arange(3, dtype=np.float32)
        fused = fuse(side_by_side([Lexical().column], [found]), [0.0], ask.fusion, ask.params)
        return page(ask, fused, Head(), [], Timing())


def late(engine: Finding, **ext: Any) -> tuple[dict[str, Any], Any]:
    read = body.read({"query": {"match": {"text": "tide"}}}, Params(), "ext.msmctl")
    request = hybrid.requested(ext, read)
    search = Hybrid(
        cast(Engine, engine), Node(Late(), {}, {}), "msm-squad", "squad", request, read, Params(),
        Deadline.after(request.budget_ms),
    )  # fmt: skip
    return asyncio.run(search.answer())


def test_hits_that_come_too_late_are_left_out_and_that_is_told() -> None:
    answer, ranked = late(Ranking(), budget_ms=20)
    assert (answer["timed_out"], ranked.degraded) == (True, ("fetch:timeout",))
    assert answer["hits"] == {"total": {"value": 3, "relation": "gte"}, "max_score": None, "hits": []}


def test_of_a_node_that_has_been_silent_for_long_it_is_an_error() -> None:
    engine = Ranking()
    engine.pace.pulse.waiting, engine.pace.pulse.since = 1, -1e6
    with pytest.raises(Refused) as refused:
        late(engine, budget_ms=20)
    assert refused.value.status == 503
