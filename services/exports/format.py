"""What an export format is: a name, help, what it reads, and how a block of that is encoded.

A new format is one file with a `Format` and one line in `services/exports/registry.py`. It never decides
what a negative is: a `Selected` block is what verdicts, people's marks and the filters asked for leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

import pyarrow as pa

from services.collections.collection import Collection
from services.negatives.opening import Asked

Options = Mapping[str, Any]
Content: TypeAlias = bytes | Iterator[bytes] | pa.Table
PIECE = 16 << 20
"""Bytes of lines with texts that are in memory together, where a block has more."""


class Option(NamedTuple):
    """An option that one format has.

    Attributes:
        name: As the command line has it, without the dashes.
        help: One line.
        default: Taken where it is not given; None: no number.
        choices: Words that it may be; none: a whole number from 1 on.
    """

    name: str
    help: str
    default: int | str | None
    choices: tuple[str, ...] = ()


class Counts(NamedTuple):
    """What is in some blocks.

    Attributes:
        rows: Lines of a file, rows of a table.
        queries: Queries with a row.
        negatives: Negatives, each as often as it is written.
        left_out: Queries read that have no row, as too little is left of them.
    """

    rows: int = 0
    queries: int = 0
    negatives: int = 0
    left_out: int = 0

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))


def in_pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines, joined until there is a `PIECE` of them."""
    waiting: list[bytes] = []
    size = 0
    for line in lines:
        waiting.append(line)
        size += len(line)
        if size >= PIECE:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)


class Encoded(NamedTuple):
    """A block as it is written, whole or in pieces, and what is in it."""

    content: Content
    counts: Counts


@dataclass(frozen=True)
class Output:
    """One file of an export, or one table in shards.

    Attributes:
        name: Place below the export's folder; empty where the export is one file. A table
            `triplet/train` becomes `triplet/train-00000-of-00002.parquet` and so on; one whose name ends
            in `.parquet` is one file.
        sizes: Per block, how many queries or passages are read for it.
        encode: A block by its number. It depends on nothing but what is read, so that an export that was
            killed goes on behind any block.
        table: Content is a table, written as parquet; else bytes.
    """

    name: str
    sizes: Sequence[int]
    encode: Callable[[int], Encoded]
    table: bool = False


class Reading(Protocol):
    """What an export reads, opened."""

    @property
    def collection(self) -> Collection:
        """The state that is read."""

    @property
    def split(self) -> str | None:
        """Split of the queries; None: all queries."""

    @property
    def described(self) -> dict[str, Any]:
        """What the bytes depend on besides collection and format: fields of `ExportInputs`."""


R = TypeVar("R", bound=Reading)


@dataclass(frozen=True)
class Reads(Generic[R]):
    """A way to read.

    Attributes:
        options: Which options of the command line say what is read.
        open: Opens it; raises NotFound and UsageError with the command that makes what is missing.
        needs_scores: A cross-encoder's scores must be there.
        margin: Through the margin filter, even where it is not asked for.
    """

    options: Literal["negatives", "scores", "run", "split", "collection"]
    open: Callable[[Collection, Asked], R]
    needs_scores: bool = False
    margin: bool = False


def one_negative(options: Options) -> int:
    """What most formats need of a query."""
    return 1


@dataclass(frozen=True)
class Format(Generic[R]):
    """A format.

    Attributes:
        name: As the command line has it.
        help: One line for people.
        example: A file or folder name.
        reads: What it is made from.
        outputs: What it writes; the first one's counts are the export's.
        folder: The place is a folder, which several exports may share; else a file.
        options: Of this format alone.
        negatives_per_row: How many negatives a query must have left.
    """

    name: str
    help: str
    example: str
    reads: Reads[R]
    outputs: Callable[[R, Options], Sequence[Output]]
    folder: bool = False
    options: tuple[Option, ...] = ()
    negatives_per_row: Callable[[Options], int] = one_negative

    @property
    def defaults(self) -> dict[str, Any]:
        """Its options as they are where none is given."""
        return {option.name: option.default for option in self.options}
