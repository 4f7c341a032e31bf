"""From runs to judged candidates: several systems' runs side by side, every pair with its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from services.collections.collection import Collection
from services.mining.exclusion import Exclusion, Judgements, Reason
from services.mining.ranking import Ords, Scores, pair_keys
from services.mining.runs import Run
from services.negatives.block import CandidateBlock, Codes, Index, Mask, NamedScores, Pairs, Positives
from services.negatives.marks import Marks
from services.negatives.verdicts import Rules, Verdict, verdicts
from services.systems.system import System

BLOCK = 2048
"""Queries that are read together."""


class Scored(Protocol):
    """Stored scores of pairs."""

    def of(self, qords: Ords, ords: Ords) -> Scores:
        """Per pair (sorted by both), its score; NaN where there is none."""


class Candidates:
    """The candidates of a split, block by block, ascending by qord.

    Args:
        collection: Its present state: judgements, texts and tombstones count as they are now.
        split: Split of the queries; its judgements make the positives, every split's exclude.
        runs: Systems with their runs, in registry order.
        all_queries: Also queries without a positive.
        scores: Of one cross-encoder.
        marks: People's verdicts.
        rules: How scores are read.
        named_scores: Further scores that filters ask for, by name.
    """

    def __init__(
        self,
        collection: Collection,
        split: str,
        runs: Sequence[tuple[System, Run]],
        *,
        all_queries: bool = False,
        scores: Scored | None = None,
        marks: Marks | None = None,
        rules: Rules | None = None,
        named_scores: dict[str, Scored] | None = None,
    ) -> None:
        self.collection = collection
        self.split = split
        self.systems = tuple(system for system, _ in runs)
        self.marks = marks or Marks(collection, [])
        self.rules = rules or Rules()
        self._runs = [run for _, run in runs]
        self._scores = scores
        self._named = named_scores or {}
        self._judgements = self._as_people_say(Judgements(collection, [split], twins={}))
        self._unjudged = Judgements(collection, [], twins={})
        self.judged = self._as_people_say(Judgements(collection))
        self._exclusion = Exclusion(collection, self.judged)
        self.qords = self._queries(all_queries)

    def _as_people_say(self, judgements: Judgements) -> Judgements:
        marks = self.marks
        return judgements.overlaid(marks.qords, marks.ords, marks.verdicts == Verdict.POSITIVE)

    def _queries(self, all_queries: bool) -> Ords:
        """The split's queries; with a positive (a person's word counts) unless all are wanted."""
        qords = self.collection.split_qords(self.split, judged_only=False)
        return qords if all_queries else np.intersect1d(qords, self._judgements.with_positive)

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return -(-len(self.qords) // BLOCK)

    def queries_of(self, n: int) -> Ords:
        """The queries of block `n`."""
        return self.qords[n * BLOCK : (n + 1) * BLOCK]

    def block(self, n: int) -> CandidateBlock:
        """The candidates of block `n`."""
        return self.of(self.queries_of(n))

    def of(self, qords: Ords) -> CandidateBlock:
        """Any queries, ascending."""
        columns = [run.columns(qords) for run in self._runs]
        system = np.repeat(np.arange(len(columns), dtype=np.int16), [len(one.ords) for one in columns])
        query, ords, rank, score = (np.concatenate(column) for column in zip(*columns, strict=True))
        # Each system's rows come sorted by (query, rank): a stable sort by query keeps both orders.
        order = np.argsort(query, kind="stable")
        keys, pair = np.unique(pair_keys(query[order], ords[order]), return_inverse=True)
        positives = self._positives(qords)
        pairs = self._pairs(qords, keys >> 32, (keys & 0xFFFFFFFF).astype(np.int32), positives)
        positives = self._with_relabelled(positives, pairs)
        return CandidateBlock(
            qords=qords,
            qids=[self.collection.qids[qord] for qord in qords.tolist()],
            systems=self.systems,
            pair=pair,
            system=system[order],
            rank=rank[order],
            score=score[order],
            pairs=pairs,
            positives=positives,
            named_scores={
                name: NamedScores(
                    scored.of(qords[pairs.query], pairs.ords),
                    scored.of(qords[positives.query], positives.ords),
                )
                for name, scored in self._named.items()
            },
        )

    def _pairs(self, qords: Ords, query: Index, ords: Ords, positives: Positives) -> Pairs:
        of = qords[query]
        ce = self._ce(of, ords)
        reason = self._exclusion.of_pairs(of, ords)
        marks, marked = self.marks.of(of, ords)

        def judged() -> Codes:
            return verdicts(reason, query, ce, positives, self.rules, marks, marked)

        more = _relabelled(judged(), reason, marked)
        if more.any():
            # A copy of a passage that is a positive now is no negative either.
            concerned = np.isin(query, query[more])
            there = self._unjudged.overlaid(of[more], ords[more], more[more])
            copies = self._exclusion.of_pairs(of[concerned], ords[concerned], there)
            copies[more[concerned]] = Reason.KEPT
            reason[concerned] = np.where(reason[concerned] == Reason.KEPT, copies, reason[concerned])
        return Pairs(query, ords, ce, reason, judged(), marked)

    def _positives(self, qords: Ords) -> Positives:
        lists = [self._judgements.of(int(qord))[0] for qord in qords]
        starts = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64)
        ords = np.concatenate([np.empty(0, np.int32), *lists])
        ce = self._ce(np.repeat(qords, np.diff(starts)), ords)
        return Positives(starts, ords, ce, np.ones(len(ords), np.bool_))

    def _with_relabelled(self, positives: Positives, pairs: Pairs) -> Positives:
        """With the candidates that the cross-encoder (`rules.relabel`) takes for positives."""
        more = np.flatnonzero(_relabelled(pairs.verdict, pairs.reason, pairs.marked))
        if not len(more):
            return positives
        query = np.concatenate([positives.query, pairs.query[more]])
        ords = np.concatenate([positives.ords, pairs.ords[more]])
        ce = np.concatenate([positives.ce, pairs.ce[more]])
        labelled = np.concatenate([positives.labelled, np.zeros(len(more), np.bool_)])
        order = np.lexsort((ords, query))
        starts = np.searchsorted(query[order], np.arange(len(positives.starts)))
        return Positives(starts, ords[order], ce[order], labelled[order])

    def _ce(self, qords: Ords, ords: Ords) -> Scores:
        if self._scores is None:
            return np.full(len(ords), np.nan, np.float32)
        return self._scores.of(qords, ords)


def _relabelled(verdict: Codes, reason: Codes, marked: Mask) -> Mask:
    """Per pair, whether the cross-encoder alone (`rules.relabel`) makes it a positive."""
    found: Mask = (verdict == Verdict.POSITIVE) & (reason == Reason.KEPT) & ~marked
    return found
