"""Unfinished files of an export: written block by block, resumed after a kill behind the last whole one.

A file of bytes takes each block compressed by itself (a gzip member or zstd frame; readers take several
in a row as one stream). A table is cut into shards, each a parquet file that ends with a block; as a
parquet file cannot be continued, a killed export goes on behind the last whole shard.
"""

from __future__ import annotations

import errno
import fcntl
import gzip
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from services.errors import Conflict, InputError
from services.exports.format import Counts

SHARD_BYTES = 128 << 20
"""A shard ends with the block that fills it."""
ROW_GROUP = 1 << 16
"""Rows, in tables without texts; fewer where there are more to hold at a time."""

_COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    # Four times as fast as level 6; ids take a tenth more space, scores none.
    "gz": lambda data: gzip.compress(data, compresslevel=4, mtime=0),
    "zst": lambda data: zstandard.ZstdCompressor(level=9).compress(data),
    "none": lambda data: data,
}


def compression_of(name: str) -> str:
    """`gz`, `zst` or `none`, by the name's ending."""
    ending = name.rpartition(".")[2]
    return ending if ending in _COMPRESSIONS else "none"


class Written(NamedTuple):
    """A complete file that is not in its place yet: its name there, where it lies, rows in it."""

    name: str
    path: Path
    rows: int


class Sink(Protocol):
    """Where the blocks of an output go.

    Attributes:
        blocks: Blocks that are complete, those of a killed export included.
        counts: Of these blocks.
    """

    blocks: int
    counts: Counts

    def add(self, content: Any, counts: Counts) -> None:
        """Append one block."""

    def finish(self) -> list[Written]:
        """The files, complete."""


class BlockFile:
    """A file of bytes.

    Args:
        name: In its place; decides the compression.
        partial: Where it is written.
        progress: What says how much of that is complete.
        inputs: Fingerprint of what it is made from; what is there of other inputs is started over.
    """

    def __init__(self, name: str, partial: Path, progress: Path, inputs: str) -> None:
        self._name = name
        self._partial = partial
        self._progress = progress
        self._inputs = inputs
        self._compress = _COMPRESSIONS[compression_of(name)]
        self.blocks = 0
        self.counts = Counts()

    @contextmanager
    def open(self) -> Iterator[BlockFile]:
        """Take the file, at the end of its last complete block.

        Raises:
            Conflict: another process writes it.
            InputError: it cannot be written (also later, when the disk is full).
        """
        with said_clearly(self._partial), self._partial.open("ab") as stream:
            _lock(stream, self._name)
            if not self._partial.exists() or self._partial.stat().st_ino != os.fstat(stream.fileno()).st_ino:
                raise Conflict(f"{self._name}: has just been exported by another process", hint="try again")
            self._stream = stream
            self._resume()
            yield self

    def _resume(self) -> None:
        bytes_done = 0
        progress = _progress(self._progress, self._inputs)
        if progress and self._partial.stat().st_size >= progress["bytes"]:
            self.blocks, self.counts = progress["blocks"], Counts(*progress["counts"])
            bytes_done = progress["bytes"]
        self._stream.truncate(bytes_done)

    def add(self, content: bytes, counts: Counts) -> None:
        """Append one block."""
        self._stream.write(self._compress(content))
        settle(self._stream)
        self.blocks += 1
        self.counts = self.counts.plus(counts)
        progress = {
            "inputs": self._inputs,
            "blocks": self.blocks,
            "bytes": self._stream.tell(),
            "counts": list(self.counts),
        }
        replace(self._progress, orjson.dumps(progress))

    def finish(self) -> list[Written]:
        """The one file."""
        return [Written(self._name, self._partial, self.counts.rows)]


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
            with (self._folder / "lock").open("ab") as lock:
                _lock(lock, self._name)
                progress = _progress(self._progress, self._inputs)
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
        for batch in content.to_batches(max_chunksize=_group_rows(content.schema)):
            self._writer.write_table(_plain(pa.Table.from_batches([batch])))
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


def _group_rows(schema: pa.Schema) -> int:
    """Rows of a row group: some ten MB, whatever the columns."""
    return max(1, ROW_GROUP // max(1, sum(not pa.types.is_primitive(one.type) for one in schema)))


def _plain(rows: pa.Table) -> pa.Table:
    """With texts that are held once each as the strings that readers expect."""
    for n, column in enumerate(rows.columns):
        if pa.types.is_dictionary(column.type):
            rows = rows.set_column(n, rows.column_names[n], column.cast(column.type.value_type))
    return rows


def _progress(file: Path, inputs: str) -> dict[str, Any] | None:
    """What is complete of an export of these inputs."""
    with suppress(FileNotFoundError, ValueError, KeyError):
        found: dict[str, Any] = orjson.loads(file.read_bytes())
        return found if found["inputs"] == inputs else None
    return None


def _lock(stream: IO[bytes], name: str) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Conflict(
            f"{name}: another process is exporting to it",
            hint="wait until it is done, or choose another name",
        ) from None


def replace(path: Path, data: bytes) -> None:
    """Write a small file as a whole."""
    scratch = path.with_name(f".{path.name.removeprefix('.')}.new")
    with scratch.open("wb") as stream:
        stream.write(data)
        settle(stream)
    scratch.replace(path)


def settle(stream: IO[bytes]) -> None:
    """Have it on the disk."""
    stream.flush()
    os.fsync(stream.fileno())


@contextmanager
def said_clearly(file: Path) -> Iterator[None]:
    """Turn what the operating system refuses into an error with a remedy."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = (
            "free some space and run the same command again: it goes on where it stopped"
            if full
            else "choose another place or change its permissions"
        )
        raise InputError(f"{file}: cannot be written: {error.strerror or error}", hint=hint) from error
