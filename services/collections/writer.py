"""Rows on their way into immutable parquet parts. Equal rows make equal bytes, hence equal part names."""

from __future__ import annotations

import io
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from services.collections.collection import find_state, folder, manifest_key, state_key
from services.collections.state import CollectionState, parse_state
from services.store import Part, Store

ROW_GROUP = 4_096
PART_ROWS = 32_768
_GROUP_BYTES = 32 << 20  # long texts make shorter row groups and parts, so that memory stays bounded
_PART_BYTES = 64 << 20
TABLES = ("passages", "queries", "tombstones", "query_tombstones", "splits", "qrels")


class PartsWriter:
    """Streams rows into parts of 32,768 rows with row groups of 4,096, numbering them on the way.

    Args:
        store: Where to.
        key: Folder of the parts.
        position: Name of the column that numbers the rows (`ord`, `qord`).
        start: The first row's number.
    """

    def __init__(self, store: Store, key: str, position: str, start: int) -> None:
        self._store = store
        self._key = key
        self._position = position
        self.next = start
        self.parts: list[Part] = []
        self._lo = start
        self._pending: list[pa.Table] = []
        self._buffer = io.BytesIO()
        self._writer: pq.ParquetWriter | None = None

    def write(self, rows: pa.Table) -> None:
        """Add rows (without the position column)."""
        self._pending.append(rows)
        while sum(len(table) for table in self._pending) >= ROW_GROUP:
            table = pa.concat_tables(self._pending)
            self._pending = [table.slice(ROW_GROUP)]
            self._write_group(table.slice(0, ROW_GROUP))
        if sum(table.nbytes for table in self._pending) >= _GROUP_BYTES:
            self._flush_pending()

    def close(self) -> list[Part]:
        """Finish the last part; all parts in order."""
        self._flush_pending()
        self._finish_part()
        return self.parts

    def _flush_pending(self) -> None:
        table = pa.concat_tables(self._pending) if self._pending else None
        self._pending = []
        if table is not None and len(table):
            self._write_group(table)

    def _write_group(self, rows: pa.Table) -> None:
        positions = pa.array(np.arange(self.next, self.next + len(rows), dtype=np.int32))
        table = rows.add_column(0, pa.field(self._position, pa.int32(), nullable=False), positions)
        table = table.combine_chunks()  # pages end where chunks do: the bytes must not depend on batches
        if self._writer is None:
            self._writer = _parquet_writer(self._buffer, table.schema)
        self._writer.write_table(table, row_group_size=len(table))
        self.next += len(table)
        if self.next - self._lo >= PART_ROWS or self._buffer.tell() >= _PART_BYTES:
            self._finish_part()

    def _finish_part(self) -> None:
        if self._writer is None:
            return
        self._writer.close()
        data, rows = self._buffer.getbuffer(), self.next - self._lo
        part = self._store.write_part(
            self._key, self._lo, self.next, rows, "parquet", lambda stream: _put(stream, data)
        )
        self.parts.append(part)
        self._lo, self._writer, self._buffer = self.next, None, io.BytesIO()


def write_table(store: Store, name: str, kind: str, table: pa.Table, lo: int, hi: int) -> list[Part]:
    """A small table as one part covering `[lo, hi)`; no part for no rows."""
    if not len(table):
        return []

    def write(stream: object) -> None:
        with _parquet_writer(stream, table.schema) as writer:
            writer.write_table(table, row_group_size=1 << 20)

    return [store.write_part(f"{folder(name)}/{kind}", lo, hi, len(table), "parquet", write)]


def write_positions(
    store: Store, name: str, kind: str, column: str, positions: npt.NDArray[np.int32]
) -> list[Part]:
    """Sorted positions (tombstones, a split's qords) as one part; none for no positions."""
    if not len(positions):
        return []
    table = pa.table({column: pa.array(positions, pa.int32())})
    return write_table(store, name, kind, table, int(positions[0]), int(positions[-1]) + 1)


def commit(store: Store, state: CollectionState) -> None:
    """Make a state the present one. The state's own file comes first: a job may read it at any time."""
    raw = state.model_dump(mode="json")
    store.write_json(state_key(state.name, state.version), raw)
    store.write_json(manifest_key(state.name), raw)


def sweep(store: Store, name: str) -> None:
    """Remove what no state of the collection names: the leftovers of a failed or killed change.

    Call it only under the collection's lock. Without a manifest nothing counts: the folder goes.
    """
    present = find_state(store, manifest_key(name))
    if present is None:
        store.remove(folder(name))
        return
    named: set[str] = set()
    for file in store.children(f"{folder(name)}/states"):
        version = int(file.partition(".")[0]) if file.partition(".")[0].isdecimal() else present.version + 1
        if version > present.version:
            store.remove(f"{folder(name)}/states/{file}")
        else:
            key = state_key(name, version)
            named |= _parts_of(parse_state(store.read_json(key), store.location(key)))
    for kind in TABLES:
        for file in store.children(f"{folder(name)}/{kind}"):
            if f"{kind}/{file}" not in named:
                store.remove(f"{folder(name)}/{kind}/{file}")


def parts_by_table(state: CollectionState) -> dict[str, list[Part]]:
    """Every part of a state, by the table (folder) that it lies in."""
    return {
        "passages": state.passages,
        "queries": state.queries,
        "tombstones": state.tombstones,
        "query_tombstones": state.query_tombstones,
        "splits": [part for parts in state.splits.values() for part in parts],
        "qrels": [part for parts in state.qrels.values() for part in parts],
    }


def _parts_of(state: CollectionState) -> set[str]:
    return {f"{kind}/{part.name}" for kind, parts in parts_by_table(state).items() for part in parts}


def _parquet_writer(sink: object, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(sink, schema, compression="zstd", use_dictionary=False, write_statistics=False)


def _put(stream: IO[bytes], data: memoryview) -> None:
    stream.write(data)
