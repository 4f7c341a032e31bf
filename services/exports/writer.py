"""The unfinished file of an export: written block by block, resumed after a kill behind the last whole one.

Each block, or piece of one, is compressed by itself: a gzip member or zstd frame; readers take several in
a row as one stream.
"""

from __future__ import annotations

import errno
import fcntl
import gzip
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import IO, Any, NamedTuple, Protocol

import orjson
import zstandard

from services.errors import Conflict, InputError
from services.exports.format import Counts

_COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    # Four times as fast as level 6; ids take a tenth more space, scores none.
    "gz": lambda data: gzip.compress(data, compresslevel=4, mtime=0),
    "zst": lambda data: zstandard.ZstdCompressor(level=9).compress(data),
    "none": lambda data: data,
}


def compression_of(name: str) -> str:
    """`gz`, `zst` or `none`, by the name's ending."""
    ending = PurePath(name).suffix.lower().removeprefix(".")
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
            lock(stream, self._name)
            if not self._partial.exists() or self._partial.stat().st_ino != os.fstat(stream.fileno()).st_ino:
                raise Conflict(f"{self._name}: has just been exported by another process", hint="try again")
            self._stream = stream
            self._resume()
            yield self

    def _resume(self) -> None:
        bytes_done = 0
        progress = progress_of(self._progress, self._inputs)
        if progress and self._partial.stat().st_size >= progress["bytes"]:
            self.blocks, self.counts = progress["blocks"], Counts(*progress["counts"])
            bytes_done = progress["bytes"]
        self._stream.truncate(bytes_done)

    def add(self, content: bytes | Iterator[bytes], counts: Counts) -> None:
        """Append one block."""
        for piece in [content] if isinstance(content, bytes) else content:
            self._stream.write(self._compress(piece))
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


def progress_of(file: Path, inputs: str) -> dict[str, Any] | None:
    """What is complete of an export of these inputs."""
    with suppress(FileNotFoundError, ValueError, KeyError):
        found: dict[str, Any] = orjson.loads(file.read_bytes())
        return found if found["inputs"] == inputs else None
    return None


def lock(stream: IO[bytes], name: str) -> None:
    """Have a file for oneself; Conflict, which says `name`, where another process has it."""
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
