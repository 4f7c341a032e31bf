"""What an export format is: a name, help, and how a block of queries becomes bytes.

A new format is one file with a `LineFormat` and one line in `services/exports/registry.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Id = str | int


@dataclass(frozen=True)
class QueryNegatives:
    """One query with its positives and, by reference key of the system, its negatives, best first.

    Ids are integers where every id of the collection is canonical decimal below 2^63, else strings.
    """

    qid: Id
    pos: list[Id]
    neg: dict[str, list[Id]]


@dataclass(frozen=True)
class LineFormat:
    """A format of one file, written block by block; the bytes of a block depend on its queries alone.

    Attributes:
        name: As the command line has it.
        help: One line for people.
        example: A file name.
        encode: The bytes of some queries, each line ended.
    """

    name: str
    help: str
    example: str
    encode: Callable[[Sequence[QueryNegatives]], bytes]
