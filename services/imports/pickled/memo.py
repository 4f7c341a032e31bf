"""What a pickle has put aside to fetch again: texts and the few objects that a numpy scalar is made of."""

from __future__ import annotations

import sqlite3
import tempfile
from typing import TypeVar

from services.imports.pickled.stream import Refused
from services.spill import no_room, spilling

T = TypeVar("T")
_TEXTS = 1 << 16
_OBJECTS = 64


class Memo:
    """Memory is bounded: texts beyond the first 65,536 go to a temporary file on disk.

    Picklers number what they put aside 0, 1, 2, …; other numbers are refused (a memo of index
    4,294,967,295 would be a way to claim memory). Dicts and scores take a number and are not kept: a
    file that fetches one shares it between two places, which ours and honest ones do not.
    """

    def __init__(self) -> None:
        self.count = 0
        self._texts: dict[int, str] = {}
        self._spilled: sqlite3.Connection | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._objects: dict[int, object] = {}

    def skip(self, count: int) -> None:
        """Take numbers for what cannot be fetched."""
        self.count += count

    def put(self, value: object, index: int | None = None) -> None:
        """Keep a value under the next number; `index` is the number that the file says."""
        if index is not None and index != self.count:
            raise Refused(f"memo number {index:,} where {self.count:,} is next: no pickler writes that")
        if isinstance(value, str):
            self.put_text(value)
            return
        if value is not None:
            self._objects[self.count] = value
            if len(self._objects) > _OBJECTS:
                raise Refused(f"more than {_OBJECTS} objects that are neither dicts nor numbers nor ids")
        self.count += 1

    def put_text(self, text: str) -> None:
        """Keep a text under the next number."""
        self._texts[self.count] = text
        self.count += 1
        if len(self._texts) > _TEXTS:
            self._spill()

    def get(self, index: int) -> object:
        """What was put under a number."""
        found = self._texts.get(index, self._objects.get(index))
        if found is None and self._spilled is not None:
            row = self._spilled.execute("SELECT text FROM memo WHERE n = ?", (index,)).fetchone()
            found = row[0] if row else None
        if found is None:
            what = "nothing" if index >= self.count else "a dict or a number"
            raise Refused(f"fetches memo number {index:,}, which is {what}: only ids can be shared")
        return found

    def number_of(self, value: object) -> int | None:
        """The number of an object (no text) by identity."""
        return next((index for index, kept in self._objects.items() if kept is value), None)

    def close(self) -> None:
        """Give the temporary file back."""
        if self._spilled is not None:
            self._spilled.close()
        if self._folder is not None:
            self._folder.cleanup()

    def _spill(self) -> None:
        try:
            self._write()
        except sqlite3.Error as error:
            raise no_room(error) from error

    def _write(self) -> None:
        if self._folder is None or self._spilled is None:
            with spilling():
                self._folder = tempfile.TemporaryDirectory(prefix="msmctl-memo-")
            self._spilled = sqlite3.connect(f"{self._folder.name}/memo")
            self._spilled.execute("PRAGMA journal_mode = OFF")  # nobody reads it after a crash
            self._spilled.execute("PRAGMA synchronous = OFF")
            self._spilled.execute("CREATE TABLE memo (n INTEGER PRIMARY KEY, text TEXT)")
        self._spilled.executemany("INSERT INTO memo VALUES (?, ?)", self._texts.items())
        self._spilled.commit()
        self._texts.clear()
