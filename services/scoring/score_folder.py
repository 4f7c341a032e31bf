"""Where a cross-encoder's scores of one collection lie, and which of its parts count.

`collections/<c>/scores/<slug>@<fp>/` holds parquet parts (qord int32, ord int32, score float32, sorted by
both) and manifests `scores-<sha>.json`. What is known is the union of all manifests: who adds parts writes
a manifest of its own, now and then one that holds everything and takes the place of those that it has
read. Two jobs that finish at the same moment leave two manifests, and neither loses an entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from services.collections.collection import folder as collection_folder
from services.errors import MsmError
from services.models.entry import slug_of
from services.store import Part, Store, fingerprint
from services.store.fingerprint import short

SCHEMA_VERSION = 1
_MANIFESTS = 32  # this many are read by everybody before one takes their place


class ScoredBy(BaseModel):
    """Whose scores they are.

    Attributes:
        ce: Name of the cross-encoder.
        kind: `model`: computed here; `imported`: from a file, no model is known.
        fingerprint: Of all that decides a score but the texts; for imported ones, of what was imported.
        model: Fingerprint of the model's content.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ce: str
    kind: Literal["model", "imported"] = "model"
    fingerprint: str
    model: str | None = None

    @property
    def slug(self) -> str:
        """The name in `[a-z0-9_]`."""
        return slug_of(self.ce)


class ScorePart(BaseModel):
    """One part. `rows` of it counts pairs; `dead` of them could not be computed, their score is NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    part: Part
    made: str
    device: str = ""
    dead: int = 0

    @classmethod
    def now(cls, part: Part, *, device: str = "", dead: int = 0) -> ScorePart:
        """A part made at this moment."""
        made = datetime.now(UTC).isoformat(timespec="microseconds")
        return cls(part=part, made=made, device=device, dead=dead)


class Manifest(BaseModel):
    """What is known of one folder. `replaced` names parts whose pairs are in other parts by now."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = SCHEMA_VERSION
    by: ScoredBy
    parts: list[ScorePart] = []
    replaced: list[str] = []


class ScoreFolder:
    """The scores of one collection by one cross-encoder."""

    def __init__(self, store: Store, collection: str, by: ScoredBy) -> None:
        self.store = store
        self.collection = collection
        self.by = by
        self.key = f"{scores_folder(collection)}/{by.slug}@{short(by.fingerprint)}"

    @classmethod
    def found(cls, store: Store, collection: str, name: str) -> ScoreFolder | None:
        """The folder of that name (`<slug>@<fp>`), where anything is known of it."""
        manifests = _read(store, f"{scores_folder(collection)}/{name}")
        return cls(store, collection, next(iter(manifests.values())).by) if manifests else None

    def parts(self) -> list[ScorePart]:
        """The parts that count, earlier made ones first."""
        return _union(list(_read(self.store, self.key).values()))

    def add(self, parts: Sequence[ScorePart], *, replacing: Sequence[ScorePart] = ()) -> None:
        """Make parts known. Idempotent.

        Args:
            parts: The new ones, written under `key`.
            replacing: Parts whose pairs are all in the new ones; they stop to count. Those that were
                replaced before are removed now, as nobody is reading them any more.
        """
        read = _read(self.store, self.key)
        if not replacing and len(read) < _MANIFESTS:
            self._write(list(parts), [])
            return
        before = {name for manifest in read.values() for name in manifest.replaced}
        gone = {one.part.name for one in replacing}
        known = [one for one in _union(list(read.values())) if one.part.name not in gone]
        names = {one.part.name for one in known}
        added = [one for one in parts if one.part.name not in names]
        written = self._write([*known, *added], sorted(gone or before))
        for old in read.keys() - {written}:
            self.store.remove(f"{self.key}/{old}")
        for name in before if gone else ():
            self.store.remove(f"{self.key}/{name}")

    def _write(self, parts: list[ScorePart], replaced: list[str]) -> str:
        content = Manifest(by=self.by, parts=parts, replaced=replaced).model_dump(mode="json")
        name = f"scores-{short(fingerprint(content))}.json"
        self.store.write_json(f"{self.key}/{name}", content)
        return name


def scores_folder(collection: str) -> str:
    """Store key of all scores of a collection."""
    return f"{collection_folder(collection)}/scores"


def layers(parts: Sequence[Part]) -> int:
    """How many parts, at most, a query may have to be looked up in."""
    ends = sorted([(part.lo, 1) for part in parts] + [(part.hi, -1) for part in parts])
    deepest = depth = 0
    for _, step in ends:
        depth += step
        deepest = max(deepest, depth)
    return deepest


def _union(manifests: Sequence[Manifest]) -> list[ScorePart]:
    replaced = {name for manifest in manifests for name in manifest.replaced}
    known = {one.part.name: one for manifest in manifests for one in manifest.parts}
    kept = [one for name, one in known.items() if name not in replaced]
    return sorted(kept, key=lambda one: (one.made, one.part.name))


def _read(store: Store, key: str) -> dict[str, Manifest]:
    """All manifests by name; read again where one was replaced meanwhile."""
    for _ in range(100):
        names = [name for name in store.children(key) if name.endswith(".json")]
        found = {name: store.read_json(f"{key}/{name}") for name in names}
        if all(store.exists(f"{key}/{name}") for name, raw in found.items() if raw is None):
            return {name: _parsed(raw, store.location(f"{key}/{name}")) for name, raw in found.items()}
    raise MsmError(f"{store.location(key)}: its manifest keeps changing", hint="try again")


def _parsed(raw: object, where: str) -> Manifest:
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise MsmError(
            f"{where}: damaged, or of another version of msmctl: {place}: {first['msg']}",
            hint="remove the folder it lies in, then score (or import) again",
        ) from error
