"""Which candidates are no negatives, decided on reading: nothing is taken out of a run for it.

Left out of a query's negatives are its positives, what was judged with any grade above zero, exact and
near copies of a positive (`shingles.py`), and passages that have been removed since. Judgements of
every split count: what is known to be relevant is no negative, whichever split says so; nor is what was
judged for another query with the same text. Two passages with the same text that is no positive's both
stay: they are different passages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from enum import IntEnum
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from services.collections.collection import Collection
from services.distinct import distinct
from services.mining.ranking import Candidates, Ords, pair_keys
from services.mining.shingles import THRESHOLD, WORDS, near_copies
from services.mining.sketches import Sketched, Sketches
from services.mining.twins import same_text

_BATCH = 1 << 17  # passages whose sketches are in memory at a time: about 1 KB each of a hundred words

Reasons = npt.NDArray[np.uint8]


class Reason(IntEnum):
    """Why a candidate is no negative; `KEPT`: it may be one."""

    KEPT = 0
    POSITIVE = 1
    JUDGED = 2
    EXACT_COPY = 3
    NEAR_COPY = 4
    REMOVED = 5


def rule() -> dict[str, Any]:
    """What decides, for manifests: another rule makes another run."""
    return {"version": 2, "grade_above": 0, "copies": {"words": WORDS, "jaccard": THRESHOLD}}


class Judgements:
    """The judgements of some splits together, by query.

    Args:
        collection: Whose.
        splits: Names; None: all.
        twins: Queries with the same text; None: those of the collection. Positives do not depend on it.
    """

    def __init__(
        self,
        collection: Collection,
        splits: Iterable[str] | None = None,
        twins: Mapping[int, Ords] | None = None,
    ) -> None:
        qrels = [collection.qrels(split) for split in (collection.state.qrels if splits is None else splits)]
        none = np.empty(0, np.int32)
        qords = np.concatenate([none, *(table.qords for table in qrels)])
        ords = np.concatenate([none, *(table.ords for table in qrels)])
        grades = np.concatenate([none, *(table.grades for table in qrels)])
        # A pair that several splits judge counts once, with its highest grade.
        order = np.lexsort((-grades, ords, qords))
        qords, ords, grades = qords[order], ords[order], grades[order]
        first = np.ones(len(order), np.bool_)
        first[1:] = (qords[1:] != qords[:-1]) | (ords[1:] != ords[:-1])
        above_zero = first & (grades > 0)
        self._qords, self._ords = qords[above_zero], ords[above_zero]
        self._positive = grades[above_zero] >= collection.state.min_rel
        self._twins = same_text(collection) if twins is None else twins

    def overlaid(self, qords: Ords, ords: Ords, positive: npt.NDArray[np.bool_]) -> Judgements:
        """These judgements with the word of people, which counts for more, on some pairs.

        Args:
            qords: Query of each pair.
            ords: Passage of each pair.
            positive: Whether it is one; where not, the pair counts as not judged.
        """
        told = ~np.isin(pair_keys(self._qords, self._ords), pair_keys(qords, ords))
        changed = copy(self)
        changed._qords = np.concatenate([self._qords[told], qords[positive]])
        changed._ords = np.concatenate([self._ords[told], ords[positive]])
        changed._positive = np.concatenate([self._positive[told], np.ones(int(positive.sum()), np.bool_)])
        order = np.lexsort((changed._ords, changed._qords))
        for name in ("_qords", "_ords", "_positive"):
            setattr(changed, name, getattr(changed, name)[order])
        return changed

    @property
    def with_positive(self) -> Ords:
        """The queries that have a positive, ascending."""
        return np.unique(self._qords[self._positive])

    def pairs(self, qords: Ords) -> tuple[Ords, Ords, npt.NDArray[np.bool_]]:
        """All that was judged above zero for some queries: by pair its query, passage, whether positive."""
        wanted = np.isin(self._qords, qords)
        of, ords, positive = [self._qords[wanted]], [self._ords[wanted]], [self._positive[wanted]]
        for qord in self._twins.keys() & qords.tolist():
            others = np.setdiff1d(self.of(qord)[1], self._own(qord)[1])
            of.append(np.full(len(others), qord, np.int32))
            ords.append(others)
            positive.append(np.zeros(len(others), np.bool_))
        return np.concatenate(of), np.concatenate(ords), np.concatenate(positive)

    def of(self, qord: int) -> tuple[Ords, Ords]:
        """A query's positives, and all that was judged above zero (positives included), ascending.

        What was judged for another query with the same text counts as judged, and not as positive.
        """
        positives, above_zero = self._own(qord)
        if qord in self._twins:
            every = [self._own(other)[1] for other in self._twins[qord].tolist()]
            above_zero = distinct(np.concatenate(every))
        return positives, above_zero

    def _own(self, qord: int) -> tuple[Ords, Ords]:
        lo, hi = np.searchsorted(self._qords, [qord, qord + 1])
        return self._ords[lo:hi][self._positive[lo:hi]], self._ords[lo:hi]


class Exclusion:
    """Decides for candidates of one collection state.

    Args:
        collection: The state whose judgements, texts and tombstones count.
        judgements: Those that count; default: every split's.
        keep: Whether sketches that are made are kept in the store.
    """

    def __init__(
        self, collection: Collection, judgements: Judgements | None = None, *, keep: bool = True
    ) -> None:
        self._live = collection.live
        self._judgements = judgements or Judgements(collection)
        self._sketches = Sketches(collection, keep=keep)

    def known(self, qord: int) -> int:
        """How many passages are excluded by judgement alone."""
        return len(self._judgements.of(qord)[1])

    def reasons(self, lists: Iterable[Candidates]) -> Iterator[Reasons]:
        """Per list, one `Reason` per candidate, in order."""
        with_judgements = ((candidates.ords, *self._judgements.of(candidates.qord)) for candidates in lists)
        for ords, reasons in judged_lists(with_judgements, self._sketches):
            reasons[~self._live[ords]] = Reason.REMOVED
            yield reasons

    def of_pairs(self, qords: Ords, ords: Ords, judgements: Judgements | None = None) -> Reasons:
        """One `Reason` per distinct pair.

        Args:
            qords: Query of each pair, ascending.
            ords: Passage of each pair, ascending within a query.
            judgements: Those that count here instead.
        """
        judgements = judgements or self._judgements
        firsts = np.flatnonzero(np.r_[True, qords[1:] != qords[:-1]][: len(qords)])
        lists = (
            (
                (ords[lo:hi], *judgements.of(int(qords[lo])))
                for lo, hi in zip(firsts, [*firsts[1:], len(qords)], strict=True)
            )
            if len(qords)
            else ()
        )
        found = [reasons for _, reasons in judged_lists(lists, self._sketches)]
        reasons = np.concatenate([np.empty(0, np.uint8), *found])
        reasons[~self._live[ords]] = Reason.REMOVED
        return reasons


def judged_lists(
    lists: Iterable[tuple[Ords, Ords, Ords]], sketches: Sketches
) -> Iterator[tuple[Ords, Reasons]]:
    """Per list of candidates, its ords and one `Reason` each, whatever the passages' state is.

    Args:
        lists: Candidates, their query's positives, and all that is judged above zero.
        sketches: Of the collection's passages.
    """
    batch: list[tuple[Ords, Ords, Ords]] = []
    wanted: set[int] = set()
    for one in lists:
        if len(wanted) >= _BATCH:
            yield from _judged(batch, sketches.of(_array(wanted)))
            batch, wanted = [], set()
        batch.append(one)
        if len(one[1]):
            wanted.update(one[0].tolist(), one[1].tolist())
    yield from _judged(batch, sketches.of(_array(wanted)))


def _array(ords: set[int]) -> Ords:
    return np.fromiter(ords, np.int32, len(ords))


def _judged(batch: list[tuple[Ords, Ords, Ords]], sketched: Sketched) -> Iterator[tuple[Ords, Reasons]]:
    candidates, positives, above_zero = (_Lists([one[n] for one in batch]) for n in range(3))
    reasons = _copies(candidates, positives, sketched)
    reasons[candidates.among(above_zero)] = Reason.JUDGED
    reasons[candidates.among(positives)] = Reason.POSITIVE
    for ords, (lo, hi) in zip(candidates.lists, pairwise(candidates.starts.tolist()), strict=True):
        yield ords, reasons[lo:hi]


class _Lists:
    """Ords of several lists, one behind the other."""

    def __init__(self, lists: Sequence[Ords]) -> None:
        self.lists = lists
        self.sizes = np.array([len(ords) for ords in lists], np.int64)
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)])
        self.ords = np.concatenate([np.empty(0, np.int32), *lists])
        self.of: Ords = np.repeat(np.arange(len(lists), dtype=np.int32), self.sizes)

    def among(self, known: _Lists) -> npt.NDArray[np.bool_]:
        """Per ord, whether it is in the other's list of the same place."""
        keys, wanted = np.sort(pair_keys(known.of, known.ords)), pair_keys(self.of, self.ords)
        if not len(keys):
            return np.zeros(len(wanted), np.bool_)
        found: npt.NDArray[np.bool_] = (
            keys[np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)] == wanted
        )
        return found


def _copies(candidates: _Lists, positives: _Lists, sketched: Sketched) -> Reasons:
    """Per candidate, whether it is a copy of a positive of its list."""
    reasons = np.zeros(len(candidates.ords), np.uint8)
    concerned = np.flatnonzero(positives.sizes[candidates.of] > 0)
    exact = np.zeros(len(reasons), np.bool_)
    for place in range(int(positives.sizes.max(initial=0))):
        rows = concerned[positives.sizes[candidates.of[concerned]] > place]
        one = sketched.places(candidates.ords[rows])
        other = sketched.places(positives.ords[positives.starts[candidates.of[rows]] + place])
        reasons[rows[near_copies(sketched.texts, one, other)]] = Reason.NEAR_COPY
        exact[rows] |= sketched.digests[one] == sketched.digests[other]
    reasons[exact] = Reason.EXACT_COPY
    return reasons


def depth_cut(reasons: Reasons, depth: int) -> int | None:
    """How many candidates it takes until `depth` of them survive; None where fewer do."""
    survivors = np.flatnonzero(reasons == Reason.KEPT)
    return int(survivors[depth - 1]) + 1 if len(survivors) >= depth else None
