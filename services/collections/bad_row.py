"""A row that cannot be taken, and what is done about it."""

from __future__ import annotations

import json
from typing import IO

from services.errors import InputError
from services.shown import plain
from services.spill import spilling


class BadRow(Exception):
    """What was found in a row and what to do about it."""

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(found)
        self.found = found
        self.remedy = remedy


class Rejects:
    """Where bad rows go: to the user as an error, or counted into a file of JSON lines.

    Args:
        spool: Binary file that takes `{file, line, found, remedy}` per bad row; None: the first bad
            row is an error.
    """

    def __init__(self, spool: IO[bytes] | None) -> None:
        self._spool = spool
        self.count = 0

    def add(self, file: str, line: int, bad: BadRow, unit: str = "line") -> None:
        """Take one bad row; `unit` is what `line` counts, such as `byte` of a file that has no lines.

        Raises:
            InputError: bad rows are not to be skipped.
        """
        if self._spool is None:
            hint = f"{bad.remedy}; or leave bad rows out with --on-error skip"
            where = f"{file}:{line}" if unit == "line" else f"{file}: {unit} {line:,}"
            raise InputError(f"{where}: {plain(bad.found)}", hint=plain(hint))
        self.count += 1
        row = {"file": file, unit: line, "found": bad.found, "remedy": bad.remedy}
        with spilling():
            self._spool.write(json.dumps(row, ensure_ascii=False).encode(errors="replace") + b"\n")
