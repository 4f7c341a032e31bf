"""A small collection with two served systems, and an engine that many tests ask."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from services.collections.collection import Collection
from services.deadline import Deadline
from services.elastic.mapping import ServedSystem
from services.inference.models import Floats, Models
from services.search.ask import Ask, Ranked
from services.search.engine import Engine
from services.search.opened import blocking
from services.search.request import SearchRequest
from services.search.result import SearchResult
from services.settings import Settings
from tests.integration.index_kit import Bench, passages

QUERY = "who runs the red river"
RERANK = {"model": "double", "window": 20}
FOREVER = 600


class Asked:
    """One collection of 300 passages, served with `tiny` (cosine) and `dotted` (dot product)."""

    def __init__(self, bench: Bench, name: str, runner: asyncio.Runner, engine: Engine) -> None:
        self.bench = bench
        self.name = name
        self.runner = runner
        self.engine = engine
        systems = [bench.add_system("tiny"), bench.add_system("dotted", seed=1, normalize=False)]
        self.collection: Collection = bench.make(name, passages(300))
        bench.build(self.collection, *systems)

    def __call__(self, query: str = QUERY, *filters: str, **more: Any) -> dict[str, Any]:
        return self.result({"query": query, "filters": filters, "explain": True} | more).as_dict()

    def result(
        self, request: dict[str, Any], collection: str = "", models: Models | None = None
    ) -> SearchResult:
        """The answer to a request in its JSON form, by other models where some are given."""
        engine = replace(self.engine, models=models) if models else self.engine
        return self.runner.run(engine.search(collection or self.name, SearchRequest.parse(request)))

    def rank(self, ask: Ask, models: Models | None = None) -> Ranked:
        """The answer to a resolved question."""
        engine = replace(self.engine, models=models) if models else self.engine
        return self.runner.run(engine.rank(ask))


@contextmanager
def asked(settings: Settings, folder: Path) -> Iterator[Asked]:
    """The collection while it is needed."""
    bench = Bench(settings, folder)
    with blocking(bench.settings, bench.store) as (runner, engine):
        yield Asked(bench, f"s{folder.stat().st_ino}", runner, engine)
    bench.clean()


class Double:
    """Models that do what a test wants them to; vectors are of the right form unless it says otherwise."""

    def __init__(self, error: Exception | None = None, *, asleep: bool = False, dims: int = 0) -> None:
        self.error, self.asleep, self.dims = error, asleep, dims

    async def embed(self, system: ServedSystem, texts: Sequence[str], deadline: Deadline) -> Floats:
        await self._fail()
        return np.ones((len(texts), self.dims or system.dims), np.float32)

    async def rerank(self, model: str, query: str, texts: Sequence[str], deadline: Deadline) -> Floats:
        await self._fail()
        return np.array([score(text) for text in texts], np.float32)

    async def _fail(self) -> None:
        if self.asleep:
            await asyncio.sleep(FOREVER)
        if self.error:
            raise self.error


def score(text: str) -> float:
    """What these cross-encoders think of a passage: the number in it, modulo seven, counts."""
    return float(int(text.rsplit(" ", 1)[1]) % 7) - 3.0


def ords(answer: dict[str, Any]) -> list[int]:
    """Of an answer's hits."""
    return [hit["ord"] for hit in answer["hits"]]
