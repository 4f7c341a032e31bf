"""Where rows go that an import leaves out: beside the collection, or with a dry run into a temporary file."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Literal, TypeVar

from services.collections.bad_row import Rejects
from services.collections.collection import Collection, folder
from services.spill import spilling, spool

OnError = Literal["fail", "skip"]
T = TypeVar("T")


class RejectedRows:
    """Bad rows of one import.

    Attributes:
        rows: Takes them.
    """

    def __init__(self, spool: IO[bytes] | None) -> None:
        self._spool = spool
        self.rows = Rejects(spool)

    def counted(self, rows: Iterable[T], facts: dict[str, Any]) -> Iterator[T]:
        """The same rows; when they are through, `facts` tells how many were left out, of these too."""
        yield from rows
        facts["rejected"] = self.rows.count

    def keep(self, collection: Collection, name: str, *, dry_run: bool) -> str | None:
        """Write down what was left out; where that is, None if there is nothing."""
        if self._spool is None or not self.rows.count:
            return None
        with spilling():
            self._spool.seek(0)  # writes what is not yet
        if dry_run:
            with spilling(), tempfile.NamedTemporaryFile(suffix="-rejects.jsonl", delete=False) as copy:
                shutil.copyfileobj(self._spool, copy)
            return copy.name
        key = f"{folder(collection.name)}/rejects/{name}.jsonl"
        with collection.store.scratch(f"{folder(collection.name)}/rejects") as scratch:
            with scratch.open("wb") as file:
                shutil.copyfileobj(self._spool, file)
            collection.store.put_file(scratch, key)
        return collection.store.location(key)


@contextmanager
def rejecting(on_error: OnError) -> Iterator[RejectedRows]:
    """Rows that are left out (`skip`), or the first of which is an error (`fail`)."""
    if on_error == "fail":
        yield RejectedRows(None)
        return
    with spool() as stream:
        yield RejectedRows(stream)
