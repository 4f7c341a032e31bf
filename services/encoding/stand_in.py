"""Vectors, or term weights, in place of those that are not made yet: what works on them can be measured.

Their values are random; what is computed on them takes as long. A graph over them is somewhat dearer than
one over real vectors, which lie closer together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from services.collections.collection import Collection
from services.encoding.shards import SHARD_ROWS, TABLES, TERMS, ranges, row_count
from services.encoding.vectors import Floats, TermWeights, Vectors, VectorTable, WeightTable
from services.encoding.weights import Weights
from services.systems.models import required
from services.systems.profile import profile_of
from services.systems.system import System


class StandIns(VectorTable):
    """Random unit vectors: one shard's, over and over."""

    def __init__(self, count: int, dim: int) -> None:
        self.shards = []
        self.dim = dim
        self.count = count
        drawn = np.random.default_rng(0).standard_normal((min(count, SHARD_ROWS), dim), np.float32)
        self._shard = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)

    def blocks(self) -> Iterator[tuple[int, int, Floats]]:
        """As many and as long as the real ones."""
        for lo, hi in ranges(self.count):
            yield lo, hi, self._shard[: hi - lo]

    def take(self, positions: npt.NDArray[np.integer]) -> Floats:
        """float32 [len(positions), dim]."""
        taken: Floats = self._shard[np.asarray(positions, np.int64) % SHARD_ROWS]
        return taken


class StandInWeights(WeightTable):
    """Random term weights, some terms far more frequent than others: one shard's, over and over."""

    def __init__(self, count: int, dim: int, terms: int) -> None:
        self.shards = []
        self.dim = dim
        self.count = count
        rng, rows = np.random.default_rng(0), min(count, SHARD_ROWS)
        drawn = np.sort(np.floor(dim ** rng.random((rows, min(terms, dim)))).astype(np.int32) - 1, axis=1)
        first = np.ones(drawn.shape, np.bool_)
        first[:, 1:] = drawn[:, 1:] != drawn[:, :-1]
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(first.sum(axis=1))])
        self._shard = Weights(starts, drawn[first], 1 - rng.random(int(starts[-1]), np.float32), dim)

    def blocks(self) -> Iterator[tuple[int, int, Weights]]:
        """As many and as long as the real ones."""
        for lo, hi in ranges(self.count):
            yield lo, hi, self._shard.part(0, hi - lo)

    def take(self, positions: npt.NDArray[np.integer]) -> Weights:
        """See `Table`."""
        return self._shard.take(np.asarray(positions, np.int64) % SHARD_ROWS)


def stand_ins(collection: Collection, system: System) -> Vectors | TermWeights:
    """What is as wide as what the system's model makes.

    Raises:
        NotFound: its model has not been pulled.
    """
    model = required(collection.store, system)
    profile = profile_of(system, model.own)
    dim = profile.width(model.own)
    passages, queries = (row_count(collection, table) for table in TABLES)
    about: dict[str, Any] = {
        "dim": dim,
        "similarity": profile.similarity,
        "model_fingerprint": model.fingerprint,
        "fingerprint": "",
        "devices": (),
        "folder": "",
    }
    if system.kind == "sparse":
        return TermWeights(
            **about,
            passages=StandInWeights(passages, dim, TERMS["passages"]),
            queries=StandInWeights(queries, dim, TERMS["queries"]),
        )
    return Vectors(**about, passages=StandIns(passages, dim), queries=StandIns(queries, dim))
