"""Logs of the processes: kept within bounds, shown, followed."""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from services.stack.layout import Layout

LIMIT = 16 * 1024 * 1024


def bound(layout: Layout, limit: int = LIMIT) -> None:
    """Move the content of logs above `limit` bytes to `<log>.1`.

    The processes hold their log open for appending, so it is emptied in place, not renamed; lines written
    between the copy and the cut are lost.
    """
    for path in layout.logs.glob("*.log"):
        if path.stat().st_size > limit:
            shutil.copyfile(path, path.with_suffix(".log.1"))
            with path.open("r+b") as handle:
                handle.truncate(0)


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a log; none if there is no log yet."""
    try:
        with path.open(encoding="utf-8", errors="replace") as handle:
            return [line.rstrip("\n") for line in deque(handle, maxlen=lines)]
    except FileNotFoundError:
        return []


def follow(path: Path) -> Iterator[str]:
    """Lines as they are written, for ever; starts at the log's present end."""
    position = path.stat().st_size if path.exists() else 0
    rest = ""
    while True:
        if path.exists():
            if path.stat().st_size < position:  # emptied by `bound`
                position = 0
            with path.open(encoding="utf-8", errors="replace") as handle:
                handle.seek(position)
                rest += handle.read()
                position = handle.tell()
            *complete, rest = rest.split("\n")
            yield from complete
        time.sleep(0.3)
