"""JSON lines of any file, ours or not: plain, gzip or zstd, bounded in memory, damage told as a finding."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from services.collections.sources.lines import LONGEST_LINE, numbered, open_plain

_KEY = re.compile(rb'"\s*:')
"""The end of every key; of a string's inside too, where it has an escaped quote."""


@dataclass(frozen=True)
class Entry:
    """One line of a file of negatives; ids as strings, in order."""

    line: int
    qid: str
    pos: list[str]
    neg: dict[str, list[str]]


@dataclass(frozen=True)
class Malformed:
    """A line that says nothing, and why."""

    line: int
    why: str


class _BadLine(Exception):
    """What is wrong with a line."""


def read_entries(file: Path, read: Callable[[int], None] = lambda size: None) -> Iterator[Entry | Malformed]:
    """The lines of a file; blank ones are passed over.

    Args:
        file: Its compression is told by its first bytes.
        read: Called with the bytes of the file read so far, as they lie on disk.

    Raises:
        InputError: there is no such file, it is empty, or its name promises another compression.
    """
    number = 0
    with open_plain(file) as (stream, raw):
        try:
            for number, line in numbered(stream):
                if line is None:
                    yield Malformed(number, f"longer than {LONGEST_LINE >> 20} MiB")
                elif line.strip():
                    yield _parsed(line, number)
                read(raw.tell())
        except OSError as error:
            yield Malformed(number + 1, f"the file ends early or is damaged here: {error}")


def _parsed(line: bytes, number: int) -> Entry | Malformed:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return Malformed(number, f"no JSON: {error}")
    try:
        if len(_KEY.findall(line)) != _keys(row):
            _refuse_repeated_keys(line)
        return Entry(
            number, _id(_member(row, "qid")), _ids(_member(row, "pos"), "pos"), _systems(_member(row, "neg"))
        )
    except _BadLine as error:
        return Malformed(number, str(error))


def _keys(row: Any) -> int:
    """Keys of the object and its `neg`; where a line has more, they are elsewhere or there twice."""
    neg = row.get("neg") if isinstance(row, dict) else None
    return (len(row) if isinstance(row, dict) else 0) + (len(neg) if isinstance(neg, dict) else 0)


def _refuse_repeated_keys(line: bytes) -> None:
    """A reader keeps one value of a key that is there twice, and which one is anybody's guess."""

    def distinct(pairs: list[tuple[str, Any]]) -> None:
        names: set[str] = set()
        for name, _ in pairs:
            if name in names:
                raise _BadLine(f"has '{name}' twice")
            names.add(name)

    try:
        json.loads(line, object_pairs_hook=distinct)
    except RecursionError:
        raise _BadLine("nested too deep") from None


def _member(row: Any, name: str) -> Any:
    if not isinstance(row, dict):
        raise _BadLine(f"{_what(row)} instead of an object")
    if name not in row:
        raise _BadLine(f"has no '{name}'")
    return row[name]


def _systems(value: Any) -> dict[str, list[str]]:
    if not isinstance(value, dict):
        raise _BadLine(f"'neg' is {_what(value)} instead of an object")
    return {name: _ids(ids, f"neg.{name}") for name, ids in value.items()}


def _ids(value: Any, where: str) -> list[str]:
    if not isinstance(value, list):
        raise _BadLine(f"'{where}' is {_what(value)} instead of a list")
    return [_id(item) for item in value]


def _id(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _BadLine(f"{_what(value)} instead of an id (a string or an integer)")
    return str(value)


def _what(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:40]}…"
