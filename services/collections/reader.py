"""Reads given sources row by row: contracts checked, bad rows put aside, progress reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from services.collections.bad_row import BadRow, Rejects
from services.collections.rows import Record
from services.collections.sources.source import Given, Source

T = TypeVar("T")
Report = Callable[[int, float | None], None]
"""Called with rows read since the last call and the share of all bytes read, 0 to 1 (None: unknown)."""

_REPORT_ROWS = 2_000


class Reader:
    """Reads the sources of one import or update.

    Attributes:
        outside: Judgements kept so far on passages that the collection does not have.
    """

    def __init__(self, given: Given, rejects: Rejects, report: Report) -> None:
        self.given = given
        self.rejects = rejects
        self.outside = 0
        self._report = report
        self._sources = given.sources()
        known = all(source.size for source in self._sources)
        self._size = sum(source.size for source in self._sources) if known else 0

    def rows(self, source: Source, check: Callable[[Record], T]) -> Iterator[tuple[int, T]]:
        """Checked rows with their line numbers; bad ones go to the rejects."""
        unreported = 0
        for line, record in source.records():
            unreported += 1
            if unreported == _REPORT_ROWS:
                self._report(unreported, self._fraction())
                unreported = 0
            try:
                if isinstance(record, BadRow):
                    raise record
                row = check(record)
            except BadRow as bad:
                self.rejects.add(source.label, line, bad)
            else:
                yield line, row
        source.done = source.size
        self._report(unreported, self._fraction())

    def _fraction(self) -> float | None:
        return sum(source.done for source in self._sources) / self._size if self._size else None
