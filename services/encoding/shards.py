"""The manifest of a collection's vectors: which immutable shards there are, and of which texts.

`collections/<c>/vectors/<slug>@<fp>/` holds `passages/` and `queries/` with parts (.npy, of term weights
.npz), and manifests `vectors-<sha>.json`. What is known is the union of all manifests: who adds shards
writes a new one that holds everything and removes those that it has read. Two jobs that finish at the same
moment leave two manifests, and neither loses an entry, on any kind of store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from services.collections.collection import Collection
from services.collections.collection import folder as collection_folder
from services.encoding.backend import backend_name
from services.encoding.encoder import DTYPE, vectors_fingerprint
from services.errors import MsmError
from services.store import Part, Store, fingerprint
from services.store.fingerprint import short
from services.systems.models import InstalledModel, installed
from services.systems.profile import Profile, SparseProfile, profile_of
from services.systems.system import System

SHARD_ROWS = 4096
"""Rows per shard: ranges are multiples of it, the last one is shorter."""

SCHEMA_VERSION = 1
TableName = Literal["passages", "queries"]
TABLES: tuple[TableName, ...] = ("passages", "queries")
TERMS: dict[TableName, int] = {"passages": 200, "queries": 40}
"""Terms of a row of a sparse system, about, while there are none to be counted."""


class Shard(BaseModel):
    """Vectors of one range. `texts` is the fingerprint of what the range said when it was encoded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: TableName
    texts: str
    device: str
    dead: int = 0
    """Rows that could not be encoded; their vectors are zero."""
    made: str
    part: Part

    @property
    def key(self) -> tuple[str, int, int, str]:
        """What the shard stands for; two shards with equal keys replace each other."""
        return self.table, self.part.lo, self.part.hi, self.texts


class Manifest(BaseModel):
    """What is known of one vector folder."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = SCHEMA_VERSION
    system: str
    model: str
    """Fingerprint of the model's content."""
    profile: SparseProfile | Profile
    backend: str
    dtype: str
    dim: int
    shards: list[Shard] = []


class VectorFolder:
    """The vectors of one collection by one model, run in one way."""

    def __init__(self, store: Store, collection: str, system: System, model: InstalledModel) -> None:
        self.store = store
        self.system = system
        self.model = model
        self.profile = profile_of(system, model.own)
        self.dim = self.profile.width(model.own)
        self.fingerprint = vectors_fingerprint(model, self.profile)
        self.key = f"{collection_folder(collection)}/vectors/{system.slug}@{short(self.fingerprint)}"

    def row_bytes(self, table: TableName) -> int:
        """What a row takes in its part; of term weights about."""
        return 8 * TERMS[table] if self.system.kind == "sparse" else 4 * self.dim

    @classmethod
    def of(cls, store: Store, collection: str, system: System) -> VectorFolder | None:
        """The folder for the system's present model, or None where none is installed."""
        model = installed(store, system)
        return cls(store, collection, system, model) if model else None

    def shards(self) -> dict[tuple[str, int, int, str], Shard]:
        """All known shards by key; the latest made where there are several."""
        return _union(manifest.shards for manifest in self._read().values())

    def add(self, shards: Sequence[Shard]) -> None:
        """Make shards known. Idempotent."""
        read = self._read()
        known = _union([*(manifest.shards for manifest in read.values()), shards])
        manifest = Manifest(
            system=self.system.name,
            model=self.model.fingerprint,
            profile=self.profile,
            backend=backend_name(self.profile),
            dtype=DTYPE,
            dim=self.dim,
            shards=[known[key] for key in sorted(known)],
        )
        content = manifest.model_dump(mode="json")
        name = f"vectors-{short(fingerprint(content))}.json"
        self.store.write_json(f"{self.key}/{name}", content)
        for old in read.keys() - {name}:
            self.store.remove(f"{self.key}/{old}")

    def wanted(self, collection: Collection, table: TableName) -> list[tuple[str, int, int, str]]:
        """The keys of the shards that make up a table of a collection's state, ascending."""
        parts = collection.state.passages if table == "passages" else collection.state.queries
        return [
            (table, lo, hi, texts_fingerprint(parts, lo, hi))
            for lo, hi in ranges(row_count(collection, table))
        ]

    def missing(self, collection: Collection) -> list[tuple[TableName, int, int]]:
        """Ranges without a sound shard, passages first."""
        known = self.shards()
        present = {table: set(self.store.children(f"{self.key}/{table}")) for table in TABLES}

        def sound(shard: Shard) -> bool:
            location = f"{self.key}/{shard.table}/{shard.part.name}"
            return shard.part.name in present[shard.table] and self.store.size(location) == shard.part.bytes

        return [
            (table, key[1], key[2])
            for table in TABLES
            for key in self.wanted(collection, table)
            if key not in known or not sound(known[key])
        ]

    def _read(self) -> dict[str, Manifest]:
        """All manifests by name; read again where one was replaced meanwhile."""
        for _ in range(100):
            names = [name for name in self.store.children(self.key) if name.endswith(".json")]
            found = {name: self.store.read_json(f"{self.key}/{name}") for name in names}
            if None not in found.values():
                return {name: Manifest.model_validate(raw) for name, raw in found.items()}
        raise MsmError(f"{self.store.location(self.key)}: its manifest keeps changing", hint="try again")


def ranges(count: int) -> list[tuple[int, int]]:
    """The fixed ranges of a table with `count` rows."""
    return [(lo, min(lo + SHARD_ROWS, count)) for lo in range(0, count, SHARD_ROWS)]


def row_count(collection: Collection, table: TableName) -> int:
    """Rows of a table, tombstones included: they keep their vectors, so that a removal encodes nothing."""
    return collection.state.passage_count if table == "passages" else collection.state.query_count


def texts_fingerprint(parts: Iterable[Part], lo: int, hi: int) -> str:
    """Hash of the texts of `[lo, hi)`, without reading them: the parts they lie in, and where."""
    return fingerprint(
        [
            [part.sha256, max(lo, part.lo) - part.lo, min(hi, part.hi) - part.lo]
            for part in parts
            if part.lo < hi and part.hi > lo
        ]
    )


def read_texts(collection: Collection, table: TableName, lo: int, hi: int) -> list[str]:
    """The texts of a range, as they are encoded (without prompt)."""
    if table == "passages":
        return collection.passage_texts(lo, hi)
    texts: list[str] = collection.read_queries(lo, hi, ["text"])["text"].to_pylist()
    return texts


def _union(lists: Iterable[Iterable[Shard]]) -> dict[tuple[str, int, int, str], Shard]:
    known: dict[tuple[str, int, int, str], Shard] = {}
    for shards in lists:
        for shard in shards:
            other = known.get(shard.key)
            if other is None or (shard.made, shard.part.sha256) > (other.made, other.part.sha256):
                known[shard.key] = shard
    return known
