"""What a row of a file claims, whatever its format: these passages are positive, those are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from services.errors import InputError
from services.mining.numbers import TOO_LARGE

Read = Callable[[int], None]
"""Told of the bytes read so far."""


@dataclass(frozen=True)
class Entry:
    """One row of a file, ids as strings, in order; or texts, where the file has no ids.

    Attributes:
        line: Its line, row or byte.
        qid: The query; None where the row is about a passage alone.
        pos: Passages called positive.
        neg: By name of the list, passages called negative.
        other: Passages of which the row says neither.
        at: Where the passage, or the query of a row without one, stands in the collection; None: not said.
    """

    line: int
    qid: str | None = None
    pos: list[str] = field(default_factory=list)
    neg: dict[str, list[str]] = field(default_factory=dict)
    other: list[str] = field(default_factory=list)
    at: int | None = None

    @property
    def ids(self) -> int:
        """How many passages it names."""
        return len(self.pos) + len(self.other) + sum(map(len, self.neg.values()))

    @property
    def characters(self) -> int:
        """Of all ids or texts."""
        lists = (self.pos, self.other, *self.neg.values())
        return len(self.qid or "") + sum(sum(map(len, one)) for one in lists)


@dataclass(frozen=True)
class Malformed:
    """A row that says nothing, and why."""

    line: int
    why: str


class BadLine(Exception):
    """What is wrong with a line."""


@dataclass(frozen=True)
class Claims:
    """A file, opened and recognised.

    Attributes:
        format: What it is, as `msmctl export` or `import` names it.
        entries: Its rows.
        whole: Whether a query may be there once only.
        texts: Whether entries hold texts instead of ids.
        ords: Whether their ids are ords and qords.
        pairs: Whether a row stands for one query and passage, which may be there once only.
    """

    format: str
    entries: Iterator[Entry | Malformed]
    whole: bool = False
    texts: bool = False
    ords: bool = False
    pairs: bool = False


def refused_as_malformed(entries: Iterator[Entry | Malformed]) -> Iterator[Entry | Malformed]:
    """Entries of a reader that refuses a damaged file: what it says becomes the last finding."""
    last = 0
    try:
        for entry in entries:
            last = entry.line
            yield entry
    except InputError as error:
        yield Malformed(last, error.message)


def member(row: Any, name: str) -> Any:
    """A member of a JSON object; BadLine where there is none."""
    if not isinstance(row, dict):
        raise BadLine(f"{what(row)} instead of an object")
    if name not in row:
        raise BadLine(f"has no '{name}'")
    return row[name]


def ids(value: Any, where: str) -> list[str]:
    """A list of ids."""
    if not isinstance(value, list):
        raise BadLine(f"'{where}' is {what(value)} instead of a list")
    return [id_of(item) for item in value]


def numbers(value: Any, where: str) -> list[float]:
    """A list of numbers that float32 holds."""
    if not isinstance(value, list):
        raise BadLine(f"'{where}' is {what(value)} instead of a list")
    for one in value:
        if isinstance(one, bool) or not isinstance(one, int | float) or not abs(one) < TOO_LARGE:
            raise BadLine(f"'{where}' has {what(one)}, which is no finite number of float32")
    return value


def id_of(value: Any) -> str:
    """An id as a string."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadLine(f"{what(value)} instead of an id (a string or an integer)")
    return str(value)


def what(value: Any) -> str:
    """A value, shortened."""
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:40]}…"
