"""Which pairs are to be scored: what systems returned for a split's queries, and the queries' positives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from services.collections.collection import Collection, Ords
from services.distinct import distinct
from services.errors import InputError
from services.mining.exclusion import Judgements
from services.mining.ranking import pair_keys
from services.negatives.mined import choose_runs
from services.scoring.ragged import Index
from services.scoring.scores import Mask, Scores

_ROWS = 1 << 21  # candidates that are looked at together
_LEAST, _MOST = 16, 2048


@dataclass(frozen=True)
class Asked:
    """What is asked for.

    Attributes:
        split: Split of the queries.
        systems: Names; empty: all that were mined.
        top: Only candidates that a system ranks so high (raw rank); None: all of its run.
        queries: Only so many of the split's queries, drawn by `seed`; a larger draw has the smaller one's.
        all_queries: Also queries without a positive.
        marked: (qid, pid) that people call positive besides the qrels.
    """

    split: str
    systems: tuple[str, ...] = ()
    top: int | None = None
    queries: int | None = None
    seed: int = 0
    all_queries: bool = False
    marked: tuple[tuple[str, str], ...] = ()


class Pairs(NamedTuple):
    """Distinct pairs of some queries, sorted by both.

    Attributes:
        query: int64, position of the query among those that are asked for.
        qords: int32.
        ords: int32.
        asked: Pairs before they were made distinct.
    """

    query: Index
    qords: Ords
    ords: Ords
    asked: int


class Wanted:
    """The pairs that are asked for, of one state of a collection and its present runs.

    Raises:
        NotFound: the split or a system's run is missing; names the command that mines it.
        UsageError: a run was not mined as deep as asked.
        InputError: the split has no such query.
    """

    def __init__(self, collection: Collection, asked: Asked) -> None:
        self.collection = collection
        self.asked = asked
        self.runs = choose_runs(collection, asked.split, list(asked.systems), asked.top)
        self._judgements = _judgements(collection, asked)
        self.qords = self._queries()
        depths = sum(asked.top or one.depth for one in self.runs)
        self._block = int(np.clip(_ROWS // max(1, depths), _LEAST, _MOST))

    def blocks(self, lo: int = 0, hi: int | None = None) -> Iterator[Pairs]:
        """The pairs of the queries at positions `lo <= n < hi`, some queries at a time."""
        hi = len(self.qords) if hi is None else hi
        for first in range(lo, hi, self._block):
            yield self._pairs(first, min(first + self._block, hi))

    def is_positive(self, pairs: Pairs) -> Mask:
        """Per pair, whether the passage is a positive of the query."""
        known = [
            pair_keys(np.full(len(ords), qord, np.int32), ords)
            for qord in np.unique(pairs.qords)
            for ords in [self._judgements.of(int(qord))[0]]
        ]
        positives = np.concatenate([np.empty(0, np.int64), *known])
        return np.isin(pair_keys(pairs.qords, pairs.ords), positives)

    def _queries(self) -> Ords:
        asked = self.asked
        qords = self.collection.split_qords(asked.split, judged_only=not asked.all_queries)
        if asked.queries is None:  # a draw does not change with every mark
            everything = self.collection.split_qords(asked.split, judged_only=False)
            more = np.intersect1d(everything, self._judgements.with_positive)
            qords = np.union1d(qords, more).astype(np.int32)
        if not len(qords):
            what = "" if asked.all_queries else " with a positive"
            raise InputError(
                f"split '{asked.split}' of collection '{self.collection.name}' has no query{what}",
                hint="add queries or qrels with `msmctl collection update`",
            )
        if asked.queries is None:
            return qords
        drawn = np.random.default_rng(asked.seed).permutation(len(qords))[: asked.queries]
        return qords[np.sort(drawn)]

    def _pairs(self, lo: int, hi: int) -> Pairs:
        qords = self.qords[lo:hi]
        queries, ords = [np.empty(0, np.int64)], [np.empty(0, np.int32)]
        for one in self.runs:
            columns = one.run.columns(qords)
            taken = columns.rank <= self.asked.top if self.asked.top else np.ones(len(columns.rank), np.bool_)
            queries.append(columns.query[taken])
            ords.append(columns.ords[taken])
        positives = [self._judgements.of(int(qord))[0] for qord in qords]
        queries.append(np.repeat(np.arange(len(qords)), [len(one) for one in positives]))
        ords += positives
        query, passage = np.concatenate(queries), np.concatenate(ords)
        live = self.collection.live[passage]
        keys = distinct(pair_keys(query[live].astype(np.int32), passage[live]))
        of = keys >> 32
        return Pairs(lo + of, qords[of], (keys & 0xFFFFFFFF).astype(np.int32), int(live.sum()))


def _judgements(collection: Collection, asked: Asked) -> Judgements:
    """The split's, and what people add."""
    qords = collection.qords_of([qid for qid, _ in asked.marked])
    ords = collection.ords_of([pid for _, pid in asked.marked])
    known = (qords >= 0) & (ords >= 0)
    positive = np.ones(int(known.sum()), np.bool_)
    return Judgements(collection, [asked.split]).overlaid(qords[known], ords[known], positive)


def to_do(pairs: Pairs, scores: Scores | None) -> Mask:
    """Which of the pairs nobody has dealt with yet; all where there is nothing to look in."""
    return np.ones(len(pairs.ords), np.bool_) if scores is None else ~scores.known(pairs.qords, pairs.ords)
