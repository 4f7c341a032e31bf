"""Which format a file is of, told by its content: its first bytes, columns or keys."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from services.collections.sources.lines import LONGEST_LINE, open_plain
from services.errors import InputError
from services.exports.claims.claim import Claims, Entry, Malformed, Read, refused_as_malformed
from services.exports.claims.jsonl import LONGEST, open_jsonl
from services.exports.claims.lines import Known, open_lines
from services.exports.claims.table import open_table
from services.imports.pickle_scores import read_pickle_scores

_LINES = 50


def open_claims(file: Path, known: Known, read: Read, declared: str | None = None) -> Claims:
    """The file, recognised; where it turns out to be damaged, its last entry says so.

    Args:
        file: A file of any format that is exported or imported; its name says nothing.
        known: Which share of some ids are passages of the collection.
        read: Told of the bytes read so far.
        declared: The format that its manifest names, which counts where the content may be of several.

    Raises:
        InputError: it cannot be read, or is of no known format.
    """
    claims = _opened(file, known, read, declared)
    return replace(claims, entries=refused_as_malformed(claims.entries))


def _opened(file: Path, known: Known, read: Read, declared: str | None) -> Claims:
    with open_plain(file) as (stream, raw), suppress(OSError):  # a damaged file: the reader says where
        size = raw.size()
        lines: list[bytes] = []
        head = stream.peek(8)[:8]
        if head.startswith(b"PAR1"):
            return open_table(file, read)
        if file.suffix == ".parquet":
            raise InputError(
                f"{file}: ends in .parquet, but is no parquet file", hint="make or fetch it again"
            )
        if _is_pickle(head):
            return Claims("scores-pickle", _of_pickle(file, size, read), whole=True)
        longest = LONGEST if head.removeprefix(codecs.BOM_UTF8).startswith(b"{") else LONGEST_LINE
        while len(lines) < _LINES and sum(map(len, lines)) < longest and (line := stream.readline(longest)):
            line = line.removeprefix(codecs.BOM_UTF8) if not lines else line
            if line.strip():
                lines.append(line)
    first = lines[0].lstrip() if lines else b""
    if not first or first[:1] in b'{["' or not _is_columns(lines):
        return open_jsonl(file, first, read)
    sample = [line.decode("utf-8", "replace").rstrip("\r\n") for line in lines]
    return open_lines(file, sample, known, read, declared)


def _is_pickle(head: bytes) -> bool:
    return head[:1] == b"\x80" and head[1:2] <= b"\x05"


def _is_columns(lines: list[bytes]) -> bool:
    return 3 <= len(lines[0].split(b"\t") if b"\t" in lines[0] else lines[0].split()) <= 6


def _of_pickle(file: Path, size: int, read: Read) -> Iterator[Entry | Malformed]:
    for scores in read_pickle_scores(file, lambda share: read(int(share * size))):
        pids = scores.pids if isinstance(scores.pids, list) else scores.pids.tolist()
        yield Entry(scores.place, str(scores.qid), other=[str(pid) for pid in pids])
