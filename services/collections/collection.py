"""A collection for reading: passages and queries by position, splits, qrels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from services.collections.schemas import QUERIES, passages_schema
from services.collections.state import CollectionState, parse_state
from services.collections.text import passage_text
from services.errors import MsmError, NotFound
from services.store import Part, Store

Ords = npt.NDArray[np.int32]
_RANGE_ROWS = 1 << 15
_RANGE_BYTES = 32 << 20  # as they lie in the store, compressed


@dataclass(frozen=True)
class Queries:
    """Queries of a split, ascending by qord. All three have the same length."""

    qords: Ords
    qids: list[str]
    texts: list[str]

    def __len__(self) -> int:
        return len(self.qids)


@dataclass(frozen=True)
class Qrels:
    """Judgements of a split on live passages and queries, sorted by (qord, ord): three int32 arrays.

    Pooled judgements may be about passages that the collection never had; nothing can find these, but
    measures that compare with the best possible ranking count them.

    Attributes:
        outside: Of such judgements, qord and grade, sorted by qord: two int32 arrays.
    """

    qords: Ords
    ords: Ords
    grades: npt.NDArray[np.int32]
    min_rel: int
    outside: tuple[Ords, npt.NDArray[np.int32]]

    def of(self, qord: int) -> tuple[Ords, npt.NDArray[np.int32]]:
        """Ords and grades judged for one query."""
        lo, hi = np.searchsorted(self.qords, [qord, qord + 1])
        return self.ords[lo:hi], self.grades[lo:hi]

    def grades_outside(self, qord: int) -> npt.NDArray[np.int32]:
        """Grades of one query's judgements on passages that the collection never had."""
        lo, hi = np.searchsorted(self.outside[0], [qord, qord + 1])
        return self.outside[1][lo:hi]

    def positives(self, qord: int) -> Ords:
        """Ords with a grade at or above `min_rel`, ascending."""
        ords, grades = self.of(qord)
        return ords[grades >= self.min_rel]

    def excluded(self, qord: int) -> Ords:
        """Ords that are no negatives by judgement: every grade above zero."""
        ords, grades = self.of(qord)
        return ords[grades > 0]

    @cached_property
    def judged(self) -> Ords:
        """The qords with at least one positive, ascending."""
        return np.unique(self.qords[self.grades >= self.min_rel])


def folder(name: str) -> str:
    """Store key of a collection."""
    return f"collections/{name}"


def manifest_key(name: str) -> str:
    """Store key of a collection's manifest: the collection exists when this does."""
    return f"{folder(name)}/collection.json"


def state_key(name: str, version: int) -> str:
    """Store key of one state, kept so that a job reads the state that it was planned on."""
    return f"{folder(name)}/states/{version}.json"


def find_state(store: Store, key: str) -> CollectionState | None:
    """The state that a manifest holds; None where there is no manifest.

    Raises:
        MsmError: it is damaged.
    """
    raw = store.read_json(key)
    return None if raw is None and not store.exists(key) else parse_state(raw, store.location(key))


class Collection:
    """One state of a collection. Open it anew to see a later state."""

    def __init__(self, store: Store, state: CollectionState) -> None:
        self.store = store
        self.state = state
        self.name = state.name

    @classmethod
    def open(cls, store: Store, name: str, version: int | None = None) -> Collection:
        """The present state, or an earlier one by its version.

        Raises:
            NotFound: there is no such collection or state.
            MsmError: its manifest is damaged.
        """
        state = find_state(store, manifest_key(name) if version is None else state_key(name, version))
        if state is not None:
            return cls(store, state)
        if version is not None:
            raise NotFound(f"no state {version} of collection '{name}' in {store.url}")
        raise NotFound(
            f"no collection '{name}' in {store.url}",
            hint="`msmctl collection ls` lists them, `msmctl collection import` makes one",
        )

    # -- passages ----------------------------------------------------------------------------------

    @property
    def passage_count(self) -> int:
        """Ords given out, tombstones included: valid ords are `range(passage_count)`."""
        return self.state.passage_count

    def read_passages(self, lo: int, hi: int, columns: list[str] | None = None) -> pa.Table:
        """Rows `lo <= ord < hi`, ascending, tombstones included."""
        schema = passages_schema(self.state.fields)
        return self._read_range("passages", self.state.passages, schema, lo, hi, columns)

    @property
    def passage_ranges(self) -> list[tuple[int, int]]:
        """All ords in ranges that fit into memory with their texts, ascending."""
        return _ranges(self.state.passages)

    def take_passages(self, ords: Ords, columns: list[str]) -> pa.Table:
        """The rows of any valid ords, in the order given, repeats included."""
        wanted, back = np.unique(ords, return_inverse=True)
        tables = [self.read_passages(0, 0, columns)]
        for part in self.state.passages:
            inside = wanted[(wanted >= part.lo) & (wanted < part.hi)]
            if len(inside):
                lo = int(inside[0])
                rows = self.read_passages(lo, int(inside[-1]) + 1, columns)
                tables.append(rows.take(pa.array(inside - lo)))
        return pa.concat_tables(tables).take(pa.array(back))

    def passage_texts(self, lo: int, hi: int) -> list[str]:
        """The encoded texts (title + ' ' + text) of `lo <= ord < hi`, tombstones included."""
        table = self.read_passages(lo, hi, ["title", "text"])
        return [
            passage_text(title, text)
            for title, text in zip(table["title"].to_pylist(), table["text"].to_pylist(), strict=True)
        ]

    def texts_of(self, ords: Ords) -> list[str]:
        """The encoded texts of any ords, in the order given."""
        wanted = np.unique(ords)
        texts: dict[int, str] = {}
        for part in self.state.passages:
            inside = wanted[(wanted >= part.lo) & (wanted < part.hi)]
            if len(inside):
                table = self._table("passages", part, ["ord", "title", "text"])
                rows = table.take(pa.array(np.searchsorted(table["ord"].to_numpy(), inside)))
                texts |= {
                    int(o): passage_text(t, x)
                    for o, t, x in zip(
                        inside, rows["title"].to_pylist(), rows["text"].to_pylist(), strict=True
                    )
                }
        return [texts[int(o)] for o in ords]

    @cached_property
    def live(self) -> npt.NDArray[np.bool_]:
        """Per ord, whether the passage counts (is no tombstone)."""
        mask = np.ones(self.passage_count, dtype=np.bool_)
        for part in self.state.tombstones:
            mask[self._table("tombstones", part, ["ord"])["ord"].to_numpy()] = False
        return mask

    @cached_property
    def pids(self) -> pa.ChunkedArray:
        """Per ord, the pid (about 12 bytes a passage in memory)."""
        chunks = [self._table("passages", part, ["pid"])["pid"] for part in self.state.passages]
        found = pa.chunked_array([chunk for column in chunks for chunk in column.chunks], type=pa.string())
        # Few chunks: a look-up builds a hash table per chunk.
        return pa.table({"pid": found}).combine_chunks()["pid"]

    def pids_of(self, ords: Ords) -> list[str]:
        """The pids of some ords."""
        return list(self.pids.take(pa.array(ords)).to_pylist())

    def ords_of(self, pids: list[str]) -> Ords:
        """The live ords of some pids; -1 where the collection has no such live passage."""
        return self._positions(pids, self.pids, self.live)

    # -- queries -----------------------------------------------------------------------------------

    def read_queries(self, lo: int, hi: int, columns: list[str] | None = None) -> pa.Table:
        """Rows `lo <= qord < hi`, ascending, tombstones included."""
        return self._read_range("queries", self.state.queries, QUERIES, lo, hi, columns)

    @property
    def query_ranges(self) -> list[tuple[int, int]]:
        """All qords in ranges that fit into memory with their texts, ascending."""
        return _ranges(self.state.queries)

    @cached_property
    def live_queries(self) -> npt.NDArray[np.bool_]:
        """Per qord, whether the query counts."""
        mask = np.ones(self.state.query_count, dtype=np.bool_)
        for part in self.state.query_tombstones:
            mask[self._table("query_tombstones", part, ["ord"])["ord"].to_numpy()] = False
        return mask

    @cached_property
    def qids(self) -> list[str]:
        """Per qord, the qid."""
        return list(self.read_queries(0, self.state.query_count, ["qid"])["qid"].to_pylist())

    def qords_of(self, qids: list[str]) -> Ords:
        """The live qords of some qids; -1 where there is none."""
        return self._positions(qids, pa.chunked_array([pa.array(self.qids, pa.string())]), self.live_queries)

    def split_members(self, split: str) -> Ords:
        """The qords that a split names, ascending, tombstones included; NotFound for no such split."""
        if split not in self.state.splits:
            raise NotFound(
                f"collection '{self.name}' has no split '{split}'; "
                f"it has: {', '.join(sorted(self.state.splits)) or 'none'}",
                hint=f"`msmctl collection show {self.name}`",
            )
        parts = [
            self._table("splits", part, ["qord"])["qord"].to_numpy() for part in self.state.splits[split]
        ]
        return np.unique(np.concatenate(parts)).astype(np.int32) if parts else np.empty(0, np.int32)

    def split_qords(self, split: str, *, judged_only: bool = True) -> Ords:
        """The qords of a split's live queries, ascending; by default only those with a positive.

        Raises:
            NotFound: the collection has no such split.
        """
        qords = self.split_members(split)
        qords = qords[self.live_queries[qords]]
        return np.intersect1d(qords, self.qrels(split).judged) if judged_only else qords

    def queries(self, split: str, *, judged_only: bool = True) -> Queries:
        """A split's queries with their texts."""
        qords = self.split_qords(split, judged_only=judged_only)
        table = self.read_queries(0, self.state.query_count, ["qid", "text"]).take(pa.array(qords))
        return Queries(qords, table["qid"].to_pylist(), table["text"].to_pylist())

    def qrels(self, split: str) -> Qrels:
        """A split's judgements; those on passages or queries that no longer count are left out."""
        table = self.judgements(split)
        qords = self.qords_of(table["qid"].to_pylist())
        ords = self.ords_of(table["pid"].to_pylist())
        grades = table["grade"].to_numpy().astype(np.int32)
        known = np.flatnonzero((qords >= 0) & (ords >= 0))
        known = known[np.lexsort((ords[known], qords[known]))]
        outside = np.flatnonzero((qords >= 0) & (ords < 0))
        if len(outside):
            ever = np.ones(self.passage_count, np.bool_)
            pids = table["pid"].take(pa.array(outside)).to_pylist()
            outside = outside[self._positions(pids, self.pids, ever) < 0]
            outside = outside[np.argsort(qords[outside], kind="stable")]
        return Qrels(
            qords[known], ords[known], grades[known], self.state.min_rel, (qords[outside], grades[outside])
        )

    def judgements(self, split: str) -> pa.Table:
        """A split's qrels as they were given: qid, pid, grade; empty where the split has none."""
        schema = pa.schema({"qid": pa.string(), "pid": pa.string(), "grade": pa.int32()})
        tables = [self._table("qrels", part, None) for part in self.state.qrels.get(split, [])]
        return pa.concat_tables([schema.empty_table(), *tables])

    # -- parts -------------------------------------------------------------------------------------

    def _table(self, kind: str, part: Part, columns: list[str] | None) -> pa.Table:
        with self._reading(kind, part) as path:
            return pq.read_table(path, columns=columns)

    @contextmanager
    def _reading(self, kind: str, part: Part) -> Iterator[Path]:
        """A part's file; what goes wrong in reading it says which part and what to do."""
        key = f"{folder(self.name)}/{kind}/{part.name}"
        try:
            yield self.store.local_path(key)
        except (OSError, pa.ArrowInvalid) as error:
            raise MsmError(
                f"{self.store.location(key)}: cannot be read: {error}",
                hint=f"`msmctl collection verify {self.name}` checks every part",
            ) from error

    def _read_range(
        self, kind: str, parts: list[Part], schema: pa.Schema, lo: int, hi: int, columns: list[str] | None
    ) -> pa.Table:
        wanted = pa.schema([schema.field(name) for name in (schema.names if columns is None else columns)])
        tables = [self._rows(kind, part, lo, hi, columns) for part in parts if part.lo < hi and part.hi > lo]
        # Parts of different updates may have their metadata in different orders.
        return pa.concat_tables([wanted.empty_table(), *(table.select(wanted.names) for table in tables)])

    def _rows(self, kind: str, part: Part, lo: int, hi: int, columns: list[str] | None) -> pa.Table:
        """The rows of one part that lie in `[lo, hi)`; only their row groups are read."""
        with self._reading(kind, part) as path, pq.ParquetFile(path) as file:
            sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
            ends = part.lo + np.cumsum(sizes)
            first, last = np.searchsorted(ends, [max(lo, part.lo), min(hi, part.hi) - 1], side="right")
            start = int(ends[first]) - sizes[first]
            table = file.read_row_groups(range(first, last + 1), columns=columns)
        skip = max(lo - start, 0)
        return table.slice(skip, min(hi, part.hi) - start - skip)

    @staticmethod
    def _positions(wanted: list[str], ids: pa.ChunkedArray, live: npt.NDArray[np.bool_]) -> Ords:
        """Positions of ids among the live ones; the hash table is on `wanted`, the smaller side."""
        asked = pc.unique(pa.array(wanted, pa.string()))
        found = np.full(len(asked), -1, np.int32)
        for offset, chunk in _chunks(ids):
            slots = pc.index_in(chunk, value_set=asked)
            rows = np.flatnonzero(np.asarray(slots.is_valid()))
            rows = rows[live[offset + rows]]
            found[slots.take(pa.array(rows)).to_numpy(zero_copy_only=False).astype(np.int64)] = offset + rows
        back = pc.index_in(pa.array(wanted, pa.string()), value_set=asked)
        return found[np.asarray(back, dtype=np.int64)]


def _chunks(array: pa.ChunkedArray) -> Iterator[tuple[int, pa.Array]]:
    offset = 0
    for chunk in array.chunks:
        yield offset, chunk
        offset += len(chunk)


def _ranges(parts: list[Part]) -> list[tuple[int, int]]:
    """Neighbouring parts together while they are small: updates leave many behind."""
    found: list[tuple[int, int]] = []
    size = 0
    for part in parts:
        size += part.bytes
        if found and size <= _RANGE_BYTES and part.hi - found[-1][0] <= _RANGE_ROWS:
            found[-1] = (found[-1][0], part.hi)
        else:
            found.append((part.lo, part.hi))
            size = part.bytes
    return found
