"""Pairs of query and passage that are there twice, however many there are: on disk, in bounded memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from services.spill import append_records

_BUCKETS = 128
_RECORD = np.dtype([("qord", np.int32), ("ord", np.int32), ("line", np.int64)])


class SeenPairs:
    """Pairs go to files by ranges of queries; each is looked through by itself.

    Args:
        queries: How many the collection has.
    """

    def __init__(self, queries: int) -> None:
        self._per_bucket = max(1, -(-queries // _BUCKETS))
        self._folder = tempfile.TemporaryDirectory(prefix="msmctl-verify-")

    def __enter__(self) -> SeenPairs:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def add(self, pairs: Iterable[tuple[int, int, int]]) -> None:
        """Take (qord, ord, line); what the collection does not have (-1) is left out."""
        records = np.fromiter(pairs, _RECORD)
        records = records[(records["qord"] >= 0) & (records["ord"] >= 0)]
        bucket = records["qord"] // self._per_bucket
        for number in np.unique(bucket).tolist():
            append_records(Path(self._folder.name) / f"{number:04d}", records[bucket == number])

    def repeats(self) -> Iterator[tuple[int, int, int]]:
        """Every pair (qord, ord, line) that an earlier line had, by query and passage."""
        for path in sorted(Path(self._folder.name).iterdir()):
            records: Any = np.sort(np.fromfile(path, _RECORD), order=["qord", "ord", "line"])
            qords, ords = records["qord"], records["ord"]
            again = np.flatnonzero((qords[1:] == qords[:-1]) & (ords[1:] == ords[:-1])) + 1
            yield from zip(*(records[name][again].tolist() for name in ("qord", "ord", "line")), strict=True)
