"""The unfinished table of an export, in shards: parquet files that each end with a block.

As a parquet file cannot be continued, an export that was killed goes on behind the last whole shard.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from services.exports.format import Counts
from services.exports.writer import Written, lock, progress_of, replace, said_clearly, settle
from services.ranges import slices

SHARD_BYTES = 128 << 20
"""A shard ends with the block that fills it."""
ROW_GROUP = 1 << 16
"""Rows of a row group at most."""
GROUP_BYTES = 32 << 20
"""Of values in a row group, a text each time that it is there; a longer row is a group by itself."""
_NUMBER = 8


class ShardedTable:
    """A table in shards.

    Args:
        name: Of the table, `<subset>/<split>`; or of its only file, where it ends in `.parquet`.
        folder: Where it is written: `<n>.parquet` each, and what says how many are whole.
        inputs: As of `BlockFile`.
    """

    def __init__(self, name: str, folder: Path, inputs: str) -> None:
        self._name = name
        self._folder = folder
        self._progress = folder / "progress"
        self._inputs = inputs
        self._rows: list[int] = []  # of each whole shard
        self._writer: pq.ParquetWriter | None = None
        self.blocks = 0
        self.counts = Counts()

    @contextmanager
    def open(self) -> Iterator[ShardedTable]:
        """Take the table, behind its last whole shard; raises as `BlockFile.open`."""
        with said_clearly(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / "lock").open("ab") as taken:
                lock(taken, self._name)
                progress = progress_of(self._progress, self._inputs)
                if progress and all(map(Path.is_file, map(self._shard, range(len(progress["rows"]))))):
                    self.blocks, self.counts = progress["blocks"], Counts(*progress["counts"])
                    self._rows = progress["rows"]
                try:
                    yield self
                finally:
                    if self._writer is not None:
                        self._writer.close()

    def add(self, content: pa.Table, counts: Counts) -> None:
        """Append one block."""
        if self._writer is None:
            self._stream = self._shard(len(self._rows)).open("wb")
            self._writer = pq.ParquetWriter(
                self._stream, _plain(content[:0]).schema, compression="zstd", store_schema=False
            )
            self._rows_here = 0
        sizes = sum((_lengths(column) for column in content.columns), np.zeros(len(content), np.int64))
        for group in slices(sizes, GROUP_BYTES, ROW_GROUP):
            self._writer.write_table(_plain(content.slice(group.start, group.stop - group.start)))
        self._rows_here += len(content)
        self.blocks += 1
        self.counts = self.counts.plus(counts)
        if self._stream.tell() >= SHARD_BYTES and not self._is_one_file:
            self._close()

    def finish(self) -> list[Written]:
        """The shards, under the names that say how many there are."""
        self._close()
        count = len(self._rows)
        names = [
            self._name if self._is_one_file else f"{self._name}-{n:05d}-of-{count:05d}.parquet"
            for n in range(count)
        ]
        return [Written(name, self._shard(n), self._rows[n]) for n, name in enumerate(names)]

    def _close(self) -> None:
        if self._writer is None:
            return
        self._writer.close()
        settle(self._stream)
        self._stream.close()
        self._writer = None
        self._rows.append(self._rows_here)
        progress = {
            "inputs": self._inputs,
            "blocks": self.blocks,
            "rows": self._rows,
            "counts": list(self.counts),
        }
        replace(self._progress, orjson.dumps(progress))

    @property
    def _is_one_file(self) -> bool:
        return self._name.endswith(".parquet")

    def _shard(self, n: int) -> Path:
        return self._folder / f"{n}.parquet"


def _lengths(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Bytes of each row's value as readers hold it."""
    found: npt.NDArray[np.int64] = np.full(len(column), _NUMBER)
    if pa.types.is_dictionary(column.type):
        found = np.concatenate(
            [found[:0]]
            + [_lengths(pa.chunked_array([one.dictionary]))[one.indices.to_numpy()] for one in column.chunks]
        )
    elif pa.types.is_list(column.type):
        # As if all were as long as the longest, which is what readers have to reckon with.
        found = pc.list_value_length(column).to_numpy() * _lengths(pc.list_flatten(column)).max(initial=0)
    elif not pa.types.is_primitive(column.type):
        found = pc.binary_length(column).to_numpy().astype(np.int64)
    return found


def _plain(rows: pa.Table) -> pa.Table:
    """With texts that are held once each as the strings that readers expect."""
    for n, column in enumerate(rows.columns):
        if pa.types.is_dictionary(column.type):
            rows = rows.set_column(n, rows.column_names[n], column.cast(column.type.value_type))
    return rows
