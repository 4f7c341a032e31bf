"""What every source gives: numbered records, or what is wrong with a row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field

from services.collections.bad_row import BadRow
from services.collections.rows import Record

Numbered = tuple[int, Record | BadRow]


class Source(ABC):
    """One stream of rows.

    Attributes:
        label: How messages name it (a file's path as the user gave it).
        typed: Whether values have types; otherwise all are text.
        size: Bytes in all, or 0 where that is unknown.
        done: Bytes read so far.
    """

    label: str
    typed: bool = True
    size: int = 0
    done: int = 0

    @abstractmethod
    def records(self) -> Iterator[Numbered]:
        """The rows with their 1-based line (or row) numbers; a bad one is yielded, not raised.

        Raises:
            InputError: the source as a whole cannot be read (missing, damaged, of another format).
        """

    @abstractmethod
    def identity(self) -> list[str]:
        """What tells this source's content from any other's: format and hash, or a catalogue's id."""


@dataclass(frozen=True)
class Given:
    """All that an import or an update reads.

    Attributes:
        passages: Sources of passages.
        queries: Sources of queries with their split; None: the qrels that judge a query say it.
        qrels: Sources of judgements with their split.
        delete: Sources of pids to delete.
    """

    passages: list[Source] = field(default_factory=list)
    queries: list[tuple[str | None, Source]] = field(default_factory=list)
    qrels: list[tuple[str, Source]] = field(default_factory=list)
    delete: list[Source] = field(default_factory=list)

    def __add__(self, other: Given) -> Given:
        """Both together."""
        return Given(
            self.passages + other.passages,
            self.queries + other.queries,
            self.qrels + other.qrels,
            self.delete + other.delete,
        )

    def sources(self) -> list[Source]:
        """Every source."""
        return [*self.passages, *self.delete, *(s for _, s in self.queries), *(s for _, s in self.qrels)]

    def identity(self) -> list[object]:
        """What tells this content from any other; reads every file once."""
        return [
            [source.identity() for source in self.passages],
            [[split, source.identity()] for split, source in self.queries],
            [[split, source.identity()] for split, source in self.qrels],
            [source.identity() for source in self.delete],
        ]
