"""Vectors in place of those that are not made yet, so that what works on vectors can be measured before.

Their values are random; what is computed on them takes as long. A graph over them is somewhat dearer than
one over real vectors, which lie closer together.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from services.collections.collection import Collection
from services.encoding.shards import SHARD_ROWS, TABLES, ranges, row_count
from services.encoding.vectors import Floats, Vectors, VectorTable
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


def stand_ins(collection: Collection, system: System) -> Vectors:
    """Vectors of the width that the system's model makes.

    Raises:
        NotFound: its model has not been pulled.
    """
    model = required(collection.store, system)
    dim = model.own.dim
    passages, queries = (StandIns(row_count(collection, table), dim) for table in TABLES)
    return Vectors(
        dim=dim,
        similarity=profile_of(system, model.own).similarity,
        model_fingerprint=model.fingerprint,
        fingerprint="",
        devices=(),
        folder="",
        passages=passages,
        queries=queries,
    )
