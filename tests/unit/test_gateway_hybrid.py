"""What the gateway asks and counts for a question to a collection; the engine itself is stood in for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from services.deadline import Deadline
from services.gateway import body, hybrid
from services.gateway.hybrid import Hybrid
from services.gateway.node import Node
from services.gateway.params import Params
from services.gateway.upstream import Upstream
from services.search.ask import Ask
from services.search.engine import Engine
from services.search.fusion import fusion_named
from services.search.legs import Lexical
from services.search.pace import Pace
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
