"""A file that is whole or not there: written block by block beside its place, resumed after a kill.

`.FILE.partial` takes the blocks, each compressed by itself (a gzip member or zstd frame; readers take
several in a row as one stream), `.FILE.progress` says how many are complete. A killed export goes on
behind the last complete block; the last step is one rename.
"""

from __future__ import annotations

import errno
import fcntl
import gzip
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import orjson
import zstandard

from services.errors import Conflict, InputError
from services.exports.manifest import manifest_path, read_manifest

_COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, compresslevel=6, mtime=0),
    "zst": lambda data: zstandard.ZstdCompressor(level=9).compress(data),
    "none": lambda data: data,
}


def compression_of(file: Path) -> str:
    """`gz`, `zst` or `none`, by the file's ending."""
    ending = file.suffix.removeprefix(".")
    return ending if ending in _COMPRESSIONS else "none"


def check_place(file: Path, *, force: bool) -> None:
    """Refuse a place where the file cannot be written, before any work is done.

    Raises:
        InputError: no such folder, no folder at all, or one that may not be written to.
        Conflict: a file that is none of our exports is there.
    """
    folder = file.parent
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder", hint=f"mkdir -p {folder}")
    if file.is_dir():
        raise InputError(f"{file}: is a folder", hint=f"name a file, such as {file / 'negatives.jsonl.gz'}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(
            f"{folder}: may not be written to", hint="choose another folder or change its permissions"
        )
    if file.exists() and not force and read_manifest(file) is None:
        raise Conflict(
            f"{file}: exists, and no export's manifest lies beside it",
            hint="choose another name, or overwrite it with --force",
        )


class BlockFile:
    """The unfinished file of one export.

    Args:
        file: Its place.
        inputs: Fingerprint of what it is made from; an unfinished file of other inputs is started over.
    """

    def __init__(self, file: Path, inputs: str) -> None:
        self._file = file
        self._inputs = inputs
        self._partial = file.with_name(f".{file.name}.partial")
        self._progress = file.with_name(f".{file.name}.progress")
        self._compress = _COMPRESSIONS[compression_of(file)]
        self.blocks = 0
        self.counts: dict[str, int] = {}

    @contextmanager
    def open(self) -> Iterator[BlockFile]:
        """Take the unfinished file, at the end of its last complete block.

        Raises:
            Conflict: another process writes it.
            InputError: it cannot be written (also later, when the disk is full).
        """
        with said_clearly(self._partial), self._partial.open("ab") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict(
                    f"{self._file}: another process is exporting to it",
                    hint="wait until it is done, or choose another name",
                ) from None
            if not self._partial.exists() or self._partial.stat().st_ino != os.fstat(stream.fileno()).st_ino:
                raise Conflict(f"{self._file}: has just been exported by another process", hint="try again")
            self._stream = stream
            self._resume()
            yield self

    def _resume(self) -> None:
        bytes_done = 0
        with suppress(FileNotFoundError, ValueError, KeyError):
            progress = orjson.loads(self._progress.read_bytes())
            if progress["inputs"] == self._inputs and self._partial.stat().st_size >= progress["bytes"]:
                self.blocks, self.counts = progress["blocks"], progress["counts"]
                bytes_done = progress["bytes"]
        self._stream.truncate(bytes_done)

    def add(self, block: bytes, **counts: int) -> None:
        """Append one block; `counts` are summed up over all blocks."""
        self._stream.write(self._compress(block))
        _settle(self._stream)
        self.blocks += 1
        self.counts = {name: self.counts.get(name, 0) + n for name, n in counts.items()}
        progress = {
            "inputs": self._inputs,
            "blocks": self.blocks,
            "bytes": self._stream.tell(),
            "counts": self.counts,
        }
        replace(self._progress, orjson.dumps(progress))

    @property
    def partial(self) -> Path:
        """The unfinished file."""
        return self._partial

    def publish(self, manifest: bytes) -> None:
        """Put manifest and file in place; killed in between, the checksum shows that they do not match."""
        replace(manifest_path(self._file), manifest)
        self._partial.replace(self._file)
        self._progress.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove what is unfinished."""
        self._partial.unlink(missing_ok=True)
        self._progress.unlink(missing_ok=True)


def replace(path: Path, data: bytes) -> None:
    """Write a small file as a whole."""
    scratch = path.with_name(f".{path.name.removeprefix('.')}.new")
    with scratch.open("wb") as stream:
        stream.write(data)
        _settle(stream)
    scratch.replace(path)


def _settle(stream: IO[bytes]) -> None:
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
