"""Files of lines: opening, decompression (gz, zst), line numbers, UTF-8."""

from __future__ import annotations

import codecs
import io
import re
import stat
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from services.collections.bad_row import BadRow
from services.collections.rows import Record
from services.collections.sources.formats import require_text_or_known
from services.collections.sources.source import Numbered, Source
from services.errors import InputError
from services.store.fingerprint import file_sha256

LONGEST_LINE = 8 << 20  # bytes; the longest text, all of it escaped in JSON, takes a tenth
_MAGIC = {
    "gzip": re.compile(rb"\x1f\x8b"),
    # Or a frame to be skipped: RFC 8878, 3.1.2.
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
}
_ENDINGS = {".gz": "gzip", ".zst": "zstd"}
_HEAD = 512
FOLDER_HINT = "name a file; `msmctl collection import` takes a BEIR folder with --beir"


def require_file(path: Path, folder_hint: str = "name a file") -> Path:
    """The path, when it is a file that can be read and has content; InputError otherwise."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: no such file", hint="check the path") from None
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read: {error.strerror}", hint="check the path and its permissions"
        ) from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path}: is a folder", hint=folder_hint)
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: not a regular file (a pipe cannot be read twice)", hint="check the path")
    if status.st_size == 0:
        raise InputError(f"{path}:1: the file is empty", hint="check how it was made")
    return path


def compression(path: Path) -> str | None:
    """`gzip`, `zstd` or None, by the file's first bytes.

    Raises:
        InputError: the ending promises a compression that the bytes do not have, or they are of a
            format that cannot be read (bzip2, zip, UTF-16 …), compressed once or not.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}", hint="check its permissions") from error
    found = next((codec for codec, magic in _MAGIC.items() if magic.match(head)), None)
    promised = _ENDINGS.get(path.suffix.lower())
    require_text_or_known(path, head)
    if promised and found != promised:
        raise InputError(
            f"{path}: ends in {path.suffix}, but is no {promised} file", hint="fetch it again, or rename it"
        )
    if found:
        require_text_or_known(path, _unpacked_head(path, found), within=found)
    return found


def _unpacked_head(path: Path, codec: str) -> bytes:
    """The first decompressed bytes; none of a damaged file, which its reader will say with the place."""
    try:
        with pa.OSFile(str(path)) as raw, pa.CompressedInputStream(raw, codec) as stream:
            return bytes(stream.read(_HEAD))
    except (pa.ArrowException, OSError):
        return b""


def bare_suffix(path: Path) -> str:
    """The ending without the compression's, in lower case: `.jsonl` of `corpus.JSONL.gz`."""
    path = Path(path.name.lower())
    return Path(path.stem).suffix if path.suffix in _ENDINGS else path.suffix


@contextmanager
def open_plain(path: Path) -> Iterator[tuple[io.BufferedReader, pa.NativeFile]]:
    """A file's decompressed bytes, and the file beneath (its `tell` is the progress)."""
    codec = compression(require_file(path))
    with pa.OSFile(str(path)) as raw:
        yield io.BufferedReader(pa.CompressedInputStream(raw, codec) if codec else raw, 1 << 18), raw


def plain_lines(
    path: Path, read: Callable[[int], None] = lambda position: None, longest: int = LONGEST_LINE
) -> Iterator[tuple[int, bytes | None]]:
    """Lines of a file, decompressed, with their ends and counted from 1, without a byte order mark.

    Args:
        path: The file; its compression is found out.
        read: Told of the bytes of the file read so far, as they lie on disk.
        longest: Bytes that a line may have.

    Yields:
        None for a longer line.

    Raises:
        InputError: it cannot be read, is empty, or ends early or is damaged, which is said with the line.
    """
    number = 0
    with open_plain(path) as (stream, raw):
        try:
            for number, line in _numbered(stream, longest):
                read(raw.tell())
                yield number, line
        except OSError as error:
            raise InputError(
                f"{path}:{number + 1}: the file ends early or is damaged here: {error}",
                hint="fetch it again and compare size or checksum; what is lost cannot be passed over",
            ) from error


def _numbered(stream: io.BufferedReader, longest: int) -> Iterator[tuple[int, bytes | None]]:
    number = 0
    while line := stream.readline(longest):
        number += 1
        if len(line) == longest and not line.endswith(b"\n"):
            while (more := stream.readline(longest)) and not more.endswith(b"\n"):
                pass
            yield number, None
        else:
            yield number, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line


class LineSource(Source):
    """A text file with one row per line; blank lines are passed over.

    Args:
        path: The file; its compression is found out.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.label = str(path)
        self.size = require_file(path, FOLDER_HINT).stat().st_size

    @abstractmethod
    def parse(self, line: str, number: int) -> Record | None:
        """The record of a line, None for a line that is none (a header); BadRow where it is wrong."""

    def identity(self) -> list[str]:
        """Class and sha256."""
        return [type(self).__name__, file_sha256(self.path)]

    def records(self) -> Iterator[Numbered]:
        """See `Source.records`."""
        for number, raw in self._lines():
            if not isinstance(raw, bytes):
                yield number, raw
                continue
            try:
                record = self.parse(raw.decode(), number)
            except UnicodeDecodeError as error:
                yield (
                    number,
                    BadRow(
                        f"broken UTF-8: byte 0x{raw[error.start]:02x} at byte {error.start + 1}",
                        "save the file as UTF-8",
                    ),
                )
            except BadRow as bad:
                yield number, bad
            else:
                if record is not None:
                    yield number, record

    def _lines(self) -> Iterator[tuple[int, bytes | BadRow]]:
        for number, line in plain_lines(self.path, self._read):
            if line is None:
                yield number, _too_long()
            elif (row := line.rstrip(b"\r\n")).strip(b" "):  # a line of tabs is a row of empty cells
                yield number, row

    def _read(self, position: int) -> None:
        self.done = position


def _too_long() -> BadRow:
    return BadRow(
        f"the line is longer than {LONGEST_LINE >> 20} MiB",
        "check the file's line ends, and cut long texts into passages",
    )
