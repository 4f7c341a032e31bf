"""A run: all that one system returned for the queries of a split, with rank and score.

`collections/<c>/runs/<split>/<slug>/run.json` is the current run; its parts lie in a folder of the job
that made them, so that two jobs never touch each other's. Parquet: qord int32, ord int32, rank int32
(1-based, as the system returned it), score float32, sorted by (qord, rank).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from services.collections.collection import Collection, folder
from services.errors import MsmError
from services.mining.ranking import Candidates, Ords, Scores
from services.store import Part, Store

_MANIFEST = "run.json"
Engine = Literal["exact", "es"]
IMPORTED: Final = "imported"
"""Stands for an engine where a run came from a file."""
Shard = tuple[int, int, str]
"""Range and sha256 of a shard of vectors."""
SCHEMA = pa.schema([("qord", pa.int32()), ("ord", pa.int32()), ("rank", pa.int32()), ("score", pa.float32())])


class Inputs(BaseModel):
    """All that a run's content depends on: equal inputs, equal run (on the same kind of device).

    Attributes:
        collection_fingerprint: Of the whole state: passages, queries, judgements.
        system_fingerprint: Of the vectors, or of the index's analysis and BM25 parameters; of an
            imported run, its content.
        engine: `exact`, or `es` (always for bm25), or `imported` from a file.
        exclusion: The rule by which the depth was counted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    collection: str
    collection_version: int
    collection_fingerprint: str
    passages_fingerprint: str
    split: str
    system: str
    system_fingerprint: str
    engine: Engine | Literal["imported"]
    depth: int
    all_queries: bool
    exclusion: dict[str, Any]

    def serve(self, asked: Inputs) -> bool:
        """Whether a run of these inputs answers what is asked: the same, or the same and deeper."""
        same = {"collection_version", "depth"}
        return self.depth >= asked.depth and self.model_dump(exclude=same) == asked.model_dump(exclude=same)


class RunManifest(BaseModel):
    """`run.json`.

    Attributes:
        folder: Store key of the parts' folder.
        queries: Queries in the run, those without any candidate included, those that the system refused not.
        candidates: Candidates of all queries.
        short: Queries whose system has fewer than `depth` candidates that survive exclusion.
        reused: Queries whose earlier answers were kept by `--refresh`.
        facts: Device or index; `recall` of an approximate engine against the exact one.
        shards: What the vectors were, so that a refresh knows which changed: "passages" and "queries".
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: int = 1
    inputs: Inputs
    folder: str
    parts: list[Part]
    queries: int
    candidates: int
    short: int
    reused: int = 0
    facts: dict[str, Any] = {}
    shards: dict[str, list[Shard]] = {}
    software: str = ""


class Columns(NamedTuple):
    """Candidates of some queries as columns of equal length, sorted by (query, rank).

    `query` (int64) is the position in the queries that were asked for; `rank` is 1-based.
    """

    query: npt.NDArray[np.int64]
    ords: Ords
    rank: Ords
    score: Scores


class Run:
    """A run for reading, in qord order; iterating leaves out queries for which nothing was returned."""

    def __init__(self, store: Store, manifest: RunManifest) -> None:
        self._store = store
        self.manifest = manifest
        self._last: tuple[str, pa.Table] | None = None

    def __iter__(self) -> Iterator[Candidates]:
        for part in sorted(self.manifest.parts, key=lambda part: part.lo):
            yield from _split(self._table(part))

    def of(self, qords: Ords) -> Iterator[Candidates]:
        """The candidates of some queries, ascending; empty ones for a query that the run does not have.

        Reading ranges of queries in order reads every part about once.
        """
        found: dict[int, Candidates] = {}
        for part in self._around(qords):
            wanted = qords[(qords >= part.lo) & (qords < part.hi)]
            if len(wanted):
                table = self._table(part)
                lo, hi = np.searchsorted(table["qord"].to_numpy(), [wanted[0], wanted[-1] + 1])
                found |= {candidates.qord: candidates for candidates in _split(table.slice(lo, hi - lo))}
        nothing = (np.empty(0, np.int32), np.empty(0, np.float32))
        for qord in qords:
            yield found.get(int(qord)) or Candidates(int(qord), *nothing)

    def columns(self, qords: Ords) -> Columns:
        """All candidates of some queries (ascending) at once."""
        dtypes = (np.int64, np.int32, np.int32, np.float32)
        gathered: list[list[Any]] = [[np.empty(0, dtype) for dtype in dtypes]]
        for part in self._around(qords):
            wanted = qords[(qords >= part.lo) & (qords < part.hi)]
            if not len(wanted):
                continue
            table = self._table(part)
            lo, hi = np.searchsorted(table["qord"].to_numpy(), [wanted[0], wanted[-1] + 1])
            of, *rest = (table[name].to_numpy()[lo:hi] for name in ("qord", "ord", "rank", "score"))
            places = np.minimum(np.searchsorted(qords, of), len(qords) - 1)
            asked = qords[places] == of
            gathered.append([places[asked], *(column[asked] for column in rest)])
        return Columns(*(np.concatenate(columns) for columns in zip(*gathered, strict=True)))

    def _around(self, qords: Ords) -> list[Part]:
        """The parts that lie between the first and the last of some queries, ascending."""
        if not len(qords):
            return []
        first, last = int(qords[0]), int(qords[-1])
        between = [part for part in self.manifest.parts if part.lo <= last and part.hi > first]
        return sorted(between, key=lambda part: part.lo)

    def _table(self, part: Part) -> pa.Table:
        if self._last is None or self._last[0] != part.name:
            key = f"{self.manifest.folder}/{part.name}"
            try:
                self._last = part.name, pq.read_table(self._store.local_path(key), schema=SCHEMA)
            except (OSError, pa.ArrowInvalid) as error:
                inputs = self.manifest.inputs
                raise MsmError(
                    f"{self._store.location(key)}: cannot be read: {error}",
                    hint=f"`msmctl mine --collection {inputs.collection} --split {inputs.split} "
                    f"--system {inputs.system} --force` makes the run anew",
                ) from error
        return self._last[1]


def _split(table: pa.Table) -> Iterator[Candidates]:
    qords, ords, scores = (table[name].to_numpy() for name in ("qord", "ord", "score"))
    if not len(qords):
        return
    starts = np.flatnonzero(np.r_[True, qords[1:] != qords[:-1]])
    for lo, hi in zip(starts, np.r_[starts[1:], len(qords)], strict=True):
        yield Candidates(int(qords[lo]), ords[lo:hi], scores[lo:hi])


def run_folder(collection: str, split: str, slug: str) -> str:
    """Store key of the runs of one system on a split."""
    return f"{folder(collection)}/runs/{split}/{slug}"


def open_run(collection: Collection, split: str, system: str) -> Run | None:
    """The current run of a system on a split, or None.

    Args:
        collection: Any state of the collection; the run may be of an earlier one (`manifest.inputs`).
        split: Split of the queries.
        system: Name of the system as the registry has it, or its slug.
    """
    slug = re.sub(r"[^a-z0-9]", "_", system.lower())
    manifest = _read(collection.store, f"{run_folder(collection.name, split, slug)}/{_MANIFEST}")
    return None if manifest is None else Run(collection.store, manifest)


def _read(store: Store, key: str) -> RunManifest | None:
    raw = store.read_json(key)
    try:
        return None if raw is None else RunManifest.model_validate(raw)
    except ValidationError as error:
        raise MsmError(
            f"{store.location(key)}: not a run of this version of msmctl: {error.errors()[0]['msg']}",
            hint="remove it and mine again",
        ) from error


def write_part(store: Store, key: str, lo: int, hi: int, lists: Iterable[Candidates]) -> Part:
    """Write the candidates of the queries `lo <= qord < hi` (ascending) as one part under a folder."""
    kept = list(lists)
    sizes = [len(candidates.ords) for candidates in kept]
    total = sum(sizes)
    table = pa.table(
        [
            np.repeat(np.array([candidates.qord for candidates in kept], np.int32), sizes),
            _joined([candidates.ords for candidates in kept], np.int32),
            (np.arange(total) - np.repeat(np.cumsum([0, *sizes])[:-1], sizes) + 1).astype(np.int32),
            _joined([candidates.scores for candidates in kept], np.float32),
        ],
        schema=SCHEMA,
    )
    return write_rows(store, key, lo, hi, table)


def write_rows(store: Store, key: str, lo: int, hi: int, table: pa.Table) -> Part:
    """Write rows (`SCHEMA`, sorted by qord and rank) of the queries `lo <= qord < hi` as one part."""

    def write(stream: IO[bytes]) -> None:
        pq.write_table(table, stream, compression="zstd", store_schema=False)

    return store.write_part(key, lo, hi, len(table), "parquet", write)


def make_current(
    store: Store, slug: str, manifest: RunManifest, *, forced: bool = False
) -> RunManifest | None:
    """Make a run the current one and remove the parts of the one it replaces.

    A deeper run of the same inputs stays (it answers what this one does), unless the new one is `forced`.

    Returns:
        The run that is current now: this one, or the deeper one that stays. None where the current run is
        of a later state of the collection, which then stays.

    Raises:
        MsmError: a part is missing, or the present manifest is damaged.
    """
    inputs = manifest.inputs
    key = f"{run_folder(inputs.collection, inputs.split, slug)}/{_MANIFEST}"
    before = _read(store, key)
    deeper = before is not None and before.inputs.depth > inputs.depth and before.inputs.serve(inputs)
    if before is not None and deeper and not forced and before.folder != manifest.folder:
        store.remove(manifest.folder)
        return before
    for part in manifest.parts:
        if not store.exists(f"{manifest.folder}/{part.name}"):
            missing = store.location(f"{manifest.folder}/{part.name}")
            raise MsmError(f"{missing} is missing", hint="mine again with --force")
    if before is not None and before.inputs.collection_version > inputs.collection_version:
        store.remove(manifest.folder)
        return None
    store.write_json(key, manifest.model_dump(mode="json"))
    if before is not None and before.folder != manifest.folder:
        store.remove(before.folder)
    named = {part.name for part in manifest.parts}
    for name in store.children(manifest.folder):
        if name not in named:  # left behind by an attempt that was cut off
            store.remove(f"{manifest.folder}/{name}")
    return manifest


def remove_ruins(store: Store, key: str, ended: Callable[[str], bool]) -> None:
    """Remove the parts of jobs that ended before their run became the current one.

    Args:
        store: Where the runs lie.
        key: As `run_folder` gives it.
        ended: Whether a job, after which a folder is named, works no more.
    """
    over = [name for name in store.children(key) if name != _MANIFEST and ended(name)]
    # Read only now: a job's run becomes the current one before the job has ended.
    current = _read(store, f"{key}/{_MANIFEST}")
    for name in over:
        if current is None or current.folder != f"{key}/{name}":
            store.remove(f"{key}/{name}")


def _joined(arrays: Sequence[Any], dtype: Any) -> Any:
    return np.concatenate([np.empty(0, dtype), *arrays]).astype(dtype)
