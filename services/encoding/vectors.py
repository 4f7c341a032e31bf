"""Vectors for reading: memory-mapped shards of a collection's passages and queries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.collections.collection import Collection
from services.encoding.shards import Shard, TableName, VectorFolder, row_count
from services.errors import InputError, MsmError
from services.store import Part, Store, fingerprint
from services.store.fingerprint import file_sha256
from services.systems.system import Similarity, System

Floats = npt.NDArray[np.float32]


class VectorTable:
    """The vectors of all rows of a table, tombstones included. A row that could not be encoded is zero."""

    def __init__(self, store: Store, folder: str, shards: list[Shard], dim: int) -> None:
        self._store = store
        self._folder = folder
        self.shards = shards
        self.dim = dim
        self.count = shards[-1].part.hi if shards else 0
        self._starts = np.array([shard.part.lo for shard in shards], np.int64)

    def blocks(self) -> Iterator[tuple[int, int, Floats]]:
        """`(lo, hi, vectors)` per shard, ascending: float32 [hi - lo, dim], mapped, not read."""
        for shard in self.shards:
            yield shard.part.lo, shard.part.hi, self._map(shard)

    def take(self, positions: npt.NDArray[np.integer]) -> Floats:
        """The vectors of some rows, float32 [len(positions), dim], in the order given.

        Raises:
            InputError: a position is beyond the table.
        """
        wanted = np.asarray(positions, np.int64)
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= self.count):
            raise InputError(
                f"no vector at position {wanted.min() if wanted.min() < 0 else wanted.max()}: "
                f"the table has {self.count} rows"
            )
        taken = np.empty((len(wanted), self.dim), np.float32)
        holder = np.searchsorted(self._starts, wanted, side="right") - 1
        for n in np.unique(holder):
            mine = holder == n
            taken[mine] = self._map(self.shards[n])[wanted[mine] - self._starts[n]]
        return taken

    @property
    def parts(self) -> list[Part]:
        """The parts that hold the vectors, ascending."""
        return [shard.part for shard in self.shards]

    def damaged(self) -> list[str]:
        """Names of shards whose bytes are not those that were written."""
        return [
            shard.part.name
            for shard in self.shards
            if file_sha256(self._store.local_path(f"{self._folder}/{shard.part.name}")) != shard.part.sha256
        ]

    def _map(self, shard: Shard) -> Floats:
        key = f"{self._folder}/{shard.part.name}"
        path = self._store.local_path(key)
        hint = "`msmctl encode` makes it again"
        try:
            size = path.stat().st_size
            if size != shard.part.bytes:
                raise MsmError(
                    f"{self._store.location(key)}: {size} bytes instead of {shard.part.bytes}", hint=hint
                )
            vectors: Floats = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise MsmError(f"{self._store.location(key)}: cannot be read: {error}", hint=hint) from error
        if vectors.shape != (shard.part.rows, self.dim) or vectors.dtype != np.float32:
            raise MsmError(
                f"{self._store.location(key)}: holds {vectors.dtype}{list(vectors.shape)} instead of "
                f"float32[{shard.part.rows}, {self.dim}]",
                hint=hint,
            )
        return vectors


@dataclass(frozen=True)
class Vectors:
    """All vectors of one state of a collection by one system.

    Attributes:
        dim: Width.
        similarity: How they are compared; those of `cosine` have unit length.
        model_fingerprint: Hash of the model's content.
        fingerprint: Hash of all bytes of both tables.
        devices: Kinds of device that computed them.
        folder: Store key of their folder.
        passages: Row n is ord n.
        queries: Row n is qord n.
    """

    dim: int
    similarity: Similarity
    model_fingerprint: str
    fingerprint: str
    devices: tuple[str, ...]
    folder: str
    passages: VectorTable
    queries: VectorTable


def open_vectors(collection: Collection, system: System) -> Vectors | None:
    """The vectors for exactly this state of the collection, or None while any shard is missing or truncated.

    Raises:
        InputError: the system has no vectors (bm25).
    """
    if not system.is_dense:
        raise InputError(f"system '{system.name}' has no vectors")
    folder = VectorFolder.of(collection.store, collection.name, system)
    if folder is None or folder.missing(collection):
        return None
    known = folder.shards()

    def table(name: TableName) -> VectorTable:
        shards = [known[key] for key in folder.wanted(collection, name)]
        made = VectorTable(collection.store, f"{folder.key}/{name}", shards, folder.model.own.dim)
        assert made.count == row_count(collection, name)  # noqa: S101 - ranges cover the table
        return made

    passages, queries = table("passages"), table("queries")
    shards = [*passages.shards, *queries.shards]
    return Vectors(
        dim=folder.model.own.dim,
        similarity=folder.profile.similarity,
        model_fingerprint=folder.model.fingerprint,
        fingerprint=fingerprint([[shard.table, shard.part.sha256] for shard in shards]),
        devices=tuple(sorted({shard.device for shard in shards})),
        folder=folder.key,
        passages=passages,
        queries=queries,
    )
