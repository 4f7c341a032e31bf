"""Vectors and term weights for reading: the shards of a collection's passages and queries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from services.collections.collection import Collection
from services.encoding.shards import Shard, TableName, VectorFolder, row_count
from services.encoding.weights import Weights
from services.errors import InputError, MsmError
from services.store import Part, Store, fingerprint
from services.store.fingerprint import file_sha256
from services.systems.system import EncoderKind, Similarity, System

Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]
R = TypeVar("R")


class Table(ABC, Generic[R]):
    """The rows of a table, tombstones included, in shards. One that could not be encoded is empty."""

    def __init__(self, store: Store, folder: str, shards: list[Shard], dim: int) -> None:
        self._store = store
        self._folder = folder
        self.shards = shards
        self.dim = dim
        self.count = shards[-1].part.hi if shards else 0
        self._starts = np.array([shard.part.lo for shard in shards], np.int64)

    @abstractmethod
    def take(self, positions: npt.NDArray[np.integer]) -> R:
        """Some rows, in the order given.

        Raises:
            InputError: a position is beyond the table.
        """

    def blocks(self) -> Iterator[tuple[int, int, R]]:
        """`(lo, hi, rows)` per shard, ascending."""
        for shard in self.shards:
            yield shard.part.lo, shard.part.hi, self._opened(shard)

    @property
    def parts(self) -> list[Part]:
        """The parts that hold the rows, ascending."""
        return [shard.part for shard in self.shards]

    def damaged(self) -> list[str]:
        """Names of shards whose bytes are not those that were written."""
        return [
            shard.part.name
            for shard in self.shards
            if file_sha256(self._store.local_path(f"{self._folder}/{shard.part.name}")) != shard.part.sha256
        ]

    @abstractmethod
    def _read(self, path: Path) -> R:
        """The rows of a part. OSError or ValueError where it is none."""

    @abstractmethod
    def _said(self, rows: R) -> str:
        """Their dtype, number and width, to be compared."""

    def _holders(self, positions: npt.NDArray[np.integer]) -> Iterator[tuple[Places, Places, Shard]]:
        """Per shard that holds some of the positions: which of them, and their rows there."""
        wanted = np.asarray(positions, np.int64)
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= self.count):
            raise InputError(
                f"no vector at position {wanted.min() if wanted.min() < 0 else wanted.max()}: "
                f"the table has {self.count} rows"
            )
        holder = np.searchsorted(self._starts, wanted, side="right") - 1
        for n in np.unique(holder):
            mine = np.flatnonzero(holder == n)
            yield mine, wanted[mine] - self._starts[n], self.shards[n]

    def _opened(self, shard: Shard) -> R:
        key = f"{self._folder}/{shard.part.name}"
        path = self._store.local_path(key)
        hint = "`msmctl encode` makes it again"
        try:
            size = path.stat().st_size
            if size != shard.part.bytes:
                raise MsmError(
                    f"{self._store.location(key)}: {size} bytes instead of {shard.part.bytes}", hint=hint
                )
            rows = self._read(path)
        except (OSError, ValueError) as error:
            raise MsmError(f"{self._store.location(key)}: cannot be read: {error}", hint=hint) from error
        found, wanted = self._said(rows), f"float32[{shard.part.rows}, {self.dim}]"
        if found != wanted:
            raise MsmError(f"{self._store.location(key)}: holds {found} instead of {wanted}", hint=hint)
        return rows


class VectorTable(Table[Floats]):
    """Vectors, float32 [rows, dim]; mapped, not read."""

    def take(self, positions: npt.NDArray[np.integer]) -> Floats:
        """See `Table`: float32 [len(positions), dim]."""
        taken = np.empty((len(positions), self.dim), np.float32)
        for mine, rows, shard in self._holders(positions):
            taken[mine] = self._opened(shard)[rows]
        return taken

    def _read(self, path: Path) -> Floats:
        vectors: Floats = np.load(path, mmap_mode="r", allow_pickle=False)
        return vectors

    def _said(self, rows: Floats) -> str:
        return f"{rows.dtype}{list(rows.shape)}"


class WeightTable(Table[Weights]):
    """Term weights."""

    def take(self, positions: npt.NDArray[np.integer]) -> Weights:
        """See `Table`."""
        places, pieces = [np.empty(0, np.int64)], []
        for mine, rows, shard in self._holders(positions):
            places.append(mine)
            pieces.append(self._opened(shard).take(rows))
        return Weights.joined(pieces, self.dim).take(np.argsort(np.concatenate(places)))

    def _read(self, path: Path) -> Weights:
        return Weights.load(path)

    def _said(self, rows: Weights) -> str:
        return f"{rows.values.dtype}[{len(rows)}, {rows.dim}]"


@dataclass(frozen=True)
class EncodedCollection(Generic[R]):
    """All that one system makes of one state of a collection: vectors, or term weights.

    Attributes:
        dim: Width; of term weights the size of the vocabulary.
        similarity: How rows are compared; vectors of `cosine` have unit length.
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
    passages: Table[R]
    queries: Table[R]


class Vectors(EncodedCollection[Floats]):
    """See `EncodedCollection`: vectors."""

    kind: ClassVar[EncoderKind] = "dense"


class TermWeights(EncodedCollection[Weights]):
    """See `EncodedCollection`: term weights."""

    kind: ClassVar[EncoderKind] = "sparse"


def open_vectors(collection: Collection, system: System) -> Vectors | None:
    """The vectors for exactly this state of the collection, or None while any shard is missing or truncated.

    Raises:
        InputError: the system makes no vectors.
    """
    if not system.is_dense:
        raise InputError(f"system '{system.name}' has no vectors")
    found = _open(collection, system, VectorTable)
    return None if found is None else Vectors(**found)


def open_weights(collection: Collection, system: System) -> TermWeights | None:
    """As `open_vectors`, of a sparse system's term weights."""
    if system.kind != "sparse":
        raise InputError(f"system '{system.name}' has no term weights")
    found = _open(collection, system, WeightTable)
    return None if found is None else TermWeights(**found)


def open_rows(collection: Collection, system: System) -> Vectors | TermWeights | None:
    """What the system, dense or sparse, makes of texts; as `open_vectors`."""
    return open_weights(collection, system) if system.kind == "sparse" else open_vectors(collection, system)


def _open(
    collection: Collection, system: System, kind: Callable[[Store, str, list[Shard], int], Table[R]]
) -> dict[str, Any] | None:
    """What `EncodedCollection` is made with."""
    folder = VectorFolder.of(collection.store, collection.name, system)
    if folder is None or folder.missing(collection):
        return None
    known = folder.shards()

    def table(name: TableName) -> Table[R]:
        shards = [known[key] for key in folder.wanted(collection, name)]
        made = kind(collection.store, f"{folder.key}/{name}", shards, folder.dim)
        assert made.count == row_count(collection, name)  # noqa: S101 - ranges cover the table
        return made

    passages, queries = table("passages"), table("queries")
    shards = [*passages.shards, *queries.shards]
    return {
        "dim": folder.dim,
        "similarity": folder.profile.similarity,
        "model_fingerprint": folder.model.fingerprint,
        "fingerprint": fingerprint([[shard.table, shard.part.sha256] for shard in shards]),
        "devices": tuple(sorted({shard.device for shard in shards})),
        "folder": folder.key,
        "passages": passages,
        "queries": queries,
    }
