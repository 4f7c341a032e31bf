"""Sorts the rows of a run, which come in any order, in bounded memory, and gives them their ranks."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.collections.bad_row import BadRow, Rejects
from services.collections.collection import Collection, Ords
from services.errors import InputError
from services.mining.runs import SCHEMA
from services.shown import shown
from services.spill import append_records

_BUCKETS = 256
_OF_ONE_QUERY = 1 << 24
"""Rows, which are sorted in memory; runs have thousands."""
_RECORD = np.dtype([("qord", np.int32), ("ord", np.int32), ("value", np.float64), ("line", np.int64)])
Records = npt.NDArray[np.void]


class Sorted(NamedTuple):
    """Some queries of the run: rows as `runs.SCHEMA`, and how many the file has of each query at most."""

    rows: pa.Table
    deepest: int


class RunSorter:
    """Rows go to files by ranges of queries; each is sorted by itself.

    Equal values are ordered as trec_eval does: the greater pid, as text, comes first. A passage that the
    collection does not have keeps its rank, so that those behind it are not better than they were.

    Args:
        collection: Whose positions they are.
        label: The file's name, for messages.
        rejects: Takes a passage that a query has for the second time.
    """

    def __init__(self, collection: Collection, label: str, rejects: Rejects) -> None:
        self._collection = collection
        self._label = label
        self._rejects = rejects
        self._per_bucket = max(1, -(-collection.state.query_count // _BUCKETS))
        self._counts = np.zeros(collection.state.query_count, np.int64)
        self._folder = tempfile.TemporaryDirectory(prefix="msmctl-run-")

    def __enter__(self) -> RunSorter:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def add(
        self, qords: Ords, ords: Ords, values: npt.NDArray[np.float64], lines: npt.NDArray[np.int64]
    ) -> None:
        """Take rows; an ord below zero stands for a passage that the collection does not have.

        Raises:
            InputError: a query has more rows than can be sorted.
            MsmError: the temporary folder is full.
        """
        found, counts = np.unique(qords, return_counts=True)
        self._counts[found] += counts
        many = found[self._counts[found] > _OF_ONE_QUERY]
        if len(many):
            raise InputError(
                f"{self._label}: query {shown(self._collection.qids[int(many[0])])} has more than "
                f"{_OF_ONE_QUERY:,} rows",
                hint="is it a run? cut its lists to a depth",
            )
        records = np.empty(len(qords), _RECORD)
        for name, column in zip(_RECORD.names or (), (qords, ords, values, lines), strict=True):
            records[name] = column
        bucket = qords // self._per_bucket
        for number in np.unique(bucket).tolist():
            append_records(Path(self._folder.name) / f"{number:08d}", records[bucket == number])

    def sorted(self) -> Iterator[Sorted]:
        """All rows by (qord, rank).

        Raises:
            InputError: a query has a passage twice, and bad rows are not left out; the second line is named.
        """
        for path in sorted(Path(self._folder.name).iterdir()):
            records = np.fromfile(path, _RECORD)
            records = self._once(records)
            records = records[self._order(records)]
            qords = records["qord"]
            starts = np.flatnonzero(np.r_[True, qords[1:] != qords[:-1]])
            sizes = np.diff(np.r_[starts, len(qords)])
            rank = np.arange(len(qords)) - np.repeat(starts, sizes) + 1
            known = records["ord"] >= 0
            columns = (qords, records["ord"], rank.astype(np.int32), records["value"].astype(np.float32))
            yield Sorted(pa.table([column[known] for column in columns], schema=SCHEMA), int(sizes.max()))

    def _order(self, records: Records) -> npt.NDArray[np.int64]:
        """Rows by query, then the greater value, then the greater pid."""
        order = np.lexsort((-records["value"], records["qord"]))
        qords, values = records["qord"][order], records["value"][order]
        same = (qords[1:] == qords[:-1]) & (values[1:] == values[:-1])
        tied = order[np.r_[False, same] | np.r_[same, False]]
        if not len(tied):
            return order
        place = np.zeros(len(records), np.int64)
        known = tied[records["ord"][tied] >= 0]
        pids = np.array(self._collection.pids_of(records["ord"][known]), dtype=object)
        place[known[np.argsort(pids, kind="stable")]] = np.arange(1, len(known) + 1)
        return np.lexsort((-place, -records["value"], records["qord"]))

    def _once(self, records: Records) -> Records:
        """The rows but for repetitions, which are rejected; the first line stays."""
        order = np.lexsort((records["line"], records["ord"], records["qord"]))
        qords, ords = records["qord"][order], records["ord"][order]
        again = np.flatnonzero((qords[1:] == qords[:-1]) & (ords[1:] == ords[:-1]) & (ords[1:] >= 0)) + 1
        pids = self._collection.pids_of(ords[again])
        for row, pid in zip(records[order[again]], pids, strict=True):
            qid = self._collection.qids[int(row["qord"])]
            found = f"passage {shown(pid)} is there a second time for query {shown(qid)}"
            self._rejects.add(
                self._label, int(row["line"]), BadRow(found, "a run names a passage once per query")
            )
        return np.delete(records, order[again])
