"""A stream of a catalogue's data set: rows come from a library, not from a file of the user's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from services.collections.bad_row import BadRow
from services.collections.rows import Record
from services.collections.sources.source import Numbered, Source


class CatalogueSource(Source):
    """Rows of one table of a data set; the "line" of a row is its 1-based number.

    Args:
        label: Such as `msmarco-passage/train/docs`; also the identity, as published ids do not change.
        rows: Opens the table.
        errors: What the library raises where the table cannot be read.
        explain: Turns such an error into one of ours.
    """

    def __init__(
        self,
        label: str,
        rows: Callable[[], Iterable[Record | BadRow]],
        errors: tuple[type[Exception], ...],
        explain: Callable[[Exception], Exception],
    ) -> None:
        self.label = label
        self._rows = rows
        self._errors = errors
        self._explain = explain

    def identity(self) -> list[str]:
        """Class and label."""
        return [type(self).__name__, self.label]

    def records(self) -> Iterator[Numbered]:
        """See `Source.records`."""
        try:
            yield from enumerate(self._rows(), 1)
        except self._errors as error:
            raise self._explain(error) from error
