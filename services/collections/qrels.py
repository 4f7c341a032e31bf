"""Applies given qrels to a state: checks them against its passages and queries, and settles the splits."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.collections import rows
from services.collections.bad_row import BadRow
from services.collections.collection import Collection
from services.collections.queries import Qords, SplitQueries
from services.collections.reader import Reader
from services.collections.state import CollectionState
from services.collections.writer import write_positions, write_table
from services.errors import InputError
from services.store import Part, Store

DEFAULT_SPLIT = "train"  # as in every command


def apply_qrels(store: Store, base: CollectionState, reader: Reader, taken: SplitQueries) -> CollectionState:
    """The state with the qrels of the given splits replaced, and with the queries of every split.

    Args:
        store: Where parts are written.
        base: The state with its passages and queries applied.
        reader: What is given.
        taken: The splits that the queries were given for.

    Raises:
        InputError: a bad row (unless they are skipped), or a split without any judgement left.
    """
    collection = Collection(store, base)
    splits = _splits(collection, taken)
    qrels = dict(base.qrels)
    for split in dict.fromkeys(split for split, _ in reader.given.qrels):
        own = splits.get(split, np.empty(0, np.int32))
        judged = _read(reader, split)
        known = judged.check(collection, np.union1d(own, taken.loose), split, reader)
        if not known.any():
            raise InputError(
                f"{judged.labels[0]}: no judgement could be taken", hint="check the file and its format"
            )
        qrels[split] = judged.write(store, base.name, known)
        loose = np.intersect1d(judged.qords[known], taken.loose)
        splits[split] = np.union1d(own, loose).astype(np.int32)
    _place_rest(splits, taken, base.query_count)
    parts = {split: write_positions(store, base.name, "splits", "qord", splits[split]) for split in splits}
    return base.model_copy(update={"qrels": qrels, "splits": parts})


def _splits(collection: Collection, taken: SplitQueries) -> dict[str, Qords]:
    """The queries of every split before the qrels have their say: what it had, and what was given for it."""
    live = collection.live_queries
    splits = {}
    none = np.empty(0, np.int32)
    for split in [*collection.state.splits, *taken.members]:
        before = collection.split_members(split) if split in collection.state.splits else none
        moved = np.array([taken.moved[qord] for qord in before.tolist() if qord in taken.moved], np.int32)
        qords = np.unique(np.concatenate([before, moved, taken.members.get(split, none)]))
        splits[split] = qords[live[qords]]
    return splits


def _place_rest(splits: dict[str, Qords], taken: SplitQueries, query_count: int) -> None:
    """Queries given without a split and judged nowhere: the only split has them, else none."""
    placed = np.zeros(query_count, np.bool_)
    for qords in splits.values():
        placed[qords] = True
    rest = taken.loose[~placed[taken.loose]]
    if not splits and len(rest):
        splits[DEFAULT_SPLIT] = rest
    elif len(splits) == 1:
        only = next(iter(splits))
        splits[only] = np.union1d(splits[only], rest).astype(np.int32)


def _read(reader: Reader, split: str) -> _Judged:
    judged = _Judged()
    for named, source in reader.given.qrels:
        if named == split:
            judged.labels.append(source.label)
            for line, row in reader.rows(source, rows.judgement):
                judged.add(line, row)
    return judged


@dataclass
class _Judged:
    """The judgements of one split, column by column; all lists have one length."""

    labels: list[str] = field(default_factory=list)
    sources: array[int] = field(default_factory=lambda: array("i"))
    lines: array[int] = field(default_factory=lambda: array("q"))
    grades: array[int] = field(default_factory=lambda: array("i"))
    qids: list[str] = field(default_factory=list)
    pids: list[str] = field(default_factory=list)
    qords: Qords = field(default_factory=lambda: np.empty(0, np.int32))

    def add(self, line: int, row: rows.Judgement) -> None:
        self.sources.append(len(self.labels) - 1)
        self.lines.append(line)
        self.grades.append(row.grade)
        self.qids.append(row.qid)
        self.pids.append(row.pid)

    def check(
        self, collection: Collection, members: Qords, split: str, reader: Reader
    ) -> npt.NDArray[np.bool_]:
        """Per judgement, whether it is kept: ids known, not a repetition. Bad ones go to the rejects.

        Of pooled judgements those on passages that the collection does not have are kept as well.
        """
        self.qords = collection.qords_of(self.qids)
        ords = collection.ords_of(self.pids).astype(np.int64)
        member = np.isin(self.qords, members)
        outside = member & (ords < 0)
        if collection.state.is_pooled:
            ords = _numbered_on(ords, outside, self.pids, collection.passage_count)
        keep = member & (ords >= 0)
        for i in np.flatnonzero(~keep).tolist():
            self._reject(reader, i, self._unknown(i, split, member=bool(member[i])))
        kept = np.flatnonzero(keep)
        keys = (self.qords[kept].astype(np.int64) << 32) | ords[kept]
        order = np.argsort(keys, kind="stable")
        ranked, at = keys[order], kept[order]
        again = np.flatnonzero(ranked[1:] == ranked[:-1]) + 1
        keep[at[again]] = False
        firsts = at[np.searchsorted(ranked, ranked[again])]
        for first, i in zip(firsts.tolist(), at[again].tolist(), strict=True):
            self._reject_other_grade(reader, first, i)
        reader.outside += int((keep & outside).sum())
        return keep

    def _unknown(self, i: int, split: str, *, member: bool) -> BadRow:
        if member:
            return BadRow(
                f"unknown pid '{self.pids[i]}'",
                "give the passage too, or remove the line; of judgements pooled over a larger collection "
                "(TREC's: --min-rel 2) those on other passages are kept for evaluation",
            )
        return BadRow(
            f"unknown qid '{self.qids[i]}': no query of split '{split}'",
            f"give the query too (--queries {split}=FILE), or remove the line",
        )

    def _reject_other_grade(self, reader: Reader, first: int, i: int) -> None:
        """The same judgement again is dropped silently; one with another grade is a bad row."""
        if self.grades[i] != self.grades[first]:
            where = f"{self.labels[self.sources[first]]}:{self.lines[first]}"
            found = (
                f"qid '{self.qids[i]}' and pid '{self.pids[i]}' are judged {self.grades[i]} here "
                f"and {self.grades[first]} at {where}"
            )
            self._reject(reader, i, BadRow(found, "keep one of the two"))

    def _reject(self, reader: Reader, i: int, bad: BadRow) -> None:
        reader.rejects.add(self.labels[self.sources[i]], self.lines[i], bad)

    def write(self, store: Store, name: str, keep: npt.NDArray[np.bool_]) -> list[Part]:
        table = pa.table(
            {
                "qid": pa.array(self.qids, pa.string()),
                "pid": pa.array(self.pids, pa.string()),
                "grade": pa.array(np.frombuffer(self.grades, np.int32), pa.int32()),
            }
        ).filter(pa.array(keep))
        return write_table(store, name, "qrels", table, 0, len(table))


def _numbered_on(
    ords: npt.NDArray[np.int64], outside: npt.NDArray[np.bool_], pids: list[str], first: int
) -> npt.NDArray[np.int64]:
    """The ords, with a number from `first` on for each pid that the collection does not have."""
    numbered = ords.copy()
    where = np.flatnonzero(outside)
    numbers: dict[str, int] = {}
    numbered[where] = [numbers.setdefault(pids[i], first + len(numbers)) for i in where.tolist()]
    return numbered
