"""What is left of a block's candidates, in the forms that formats write: merged, in pairs, in tuples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from services.exports.format import Counts
from services.mining.ranking import Ords, Scores
from services.negatives.block import CandidateBlock, Index, Mask
from services.negatives.selection import Selection
from services.ranges import ranges


class Triples(NamedTuple):
    """(positive, negative) side by side: positions in `block.positives` and `block.pairs`."""

    positive: Index
    negative: Index


class Labelled(NamedTuple):
    """Passages with labels, by query: positions in the block, ords, and 1 or 0, each as long."""

    query: Index
    ords: Ords
    label: Index


@dataclass(frozen=True)
class Selected:
    """A block of queries with what is left of their candidates.

    Attributes:
        block: Queries ascending by qord; `block.positives` are what goes into `pos`.
        kept: Per row, whether it is a negative of its system.
        selection: What left it; `admits` says which positives a negative may stand beside, and `scored` that
            only positives with a score count.
    """

    block: CandidateBlock
    kept: Mask
    selection: Selection

    @cached_property
    def negatives(self) -> Index:
        """Positions in `block.pairs`: each negative once, by query, then by best rank over the systems."""
        return self.block.merged(self.kept)

    @cached_property
    def positives(self) -> Index:
        """Positions in `block.positives`, by query, then by ord."""
        everything = np.arange(len(self.block.positives.ords))
        if self.selection.scored == "nothing":
            return everything
        return everything[~np.isnan(self.block.positives.ce)]

    @cached_property
    def negative_starts(self) -> Index:
        """Where each query's negatives begin in `negatives`: int64 [queries + 1]."""
        return self._starts(self.block.pairs.query[self.negatives])

    @cached_property
    def positive_starts(self) -> Index:
        """Where each query's positives begin in `positives`: int64 [queries + 1]."""
        return self._starts(self.block.positives.query[self.positives])

    def triples(self) -> Triples:
        """Every positive with every negative that may stand beside it, by query, positive and rank."""
        query = self.block.positives.query[self.positives]
        sizes = np.diff(self.negative_starts)[query]
        positive = np.repeat(self.positives, sizes)
        negative = self.negatives[ranges(self.negative_starts[query], sizes)]
        may = self.selection.admits(self.block, positive, negative)
        return Triples(positive[may], negative[may])

    def tuples(self, n: int) -> tuple[Index, Index]:
        """The first positive of each query with the first `n` negatives that may stand beside it.

        Queries that have fewer are left out.

        Returns:
            Positions in `block.positives` [rows] and in `block.pairs` [rows, n], a row per query.
        """
        has = np.diff(self.positive_starts) > 0
        first = np.full(len(has), -1, np.int64)
        first[has] = self.positives[self.positive_starts[:-1][has]]
        positive = first[self.block.pairs.query[self.negatives]]
        negatives, positive = self.negatives[positive >= 0], positive[positive >= 0]
        negatives = negatives[self.selection.admits(self.block, positive, negatives)]
        starts = self._starts(self.block.pairs.query[negatives])
        rows = np.flatnonzero(np.diff(starts) >= n)
        return first[rows], negatives[starts[rows][:, None] + np.arange(n)]

    def labelled(self, only: Index | None = None) -> Labelled:
        """By query, its positives with 1 and then its negatives with 0.

        Args:
            only: Positions of the queries that count, ascending; None: all.
        """
        order, query = self._together(only)
        ords = np.concatenate(
            [self.block.positives.ords[self.positives], self.block.pairs.ords[self.negatives]]
        )
        labels = np.repeat(np.array([1, 0], np.int64), [len(self.positives), len(self.negatives)])
        return Labelled(query, ords[order], labels[order])

    def labelled_scores(self, only: Index | None = None) -> Scores:
        """The scores of what `labelled` gives."""
        ce = [self.block.positives.ce[self.positives], self.block.pairs.ce[self.negatives]]
        scores: Scores = np.concatenate(ce)[self._together(only)[0]]
        return scores

    def by_query(self, queries: Index) -> Iterator[tuple[int, slice, slice]]:
        """Where the positives and the negatives of some queries lie in `labelled(only=queries)`."""
        sizes = (np.diff(starts)[queries].tolist() for starts in (self.positive_starts, self.negative_starts))
        end = 0
        for query, positives, negatives in zip(queries.tolist(), *sizes, strict=True):
            begin, middle, end = end, end + positives, end + positives + negatives
            yield query, slice(begin, middle), slice(middle, end)

    def with_both(self) -> Index:
        """Positions of the queries that have a positive and a negative."""
        return np.flatnonzero((np.diff(self.positive_starts) > 0) & (np.diff(self.negative_starts) > 0))

    def negatives_of(self, queries: Index) -> int:
        """How many negatives some queries have."""
        return int(np.diff(self.negative_starts)[queries].sum())

    def counts(self, query: Index, negatives: int) -> Counts:
        """Counts of rows of these queries (a position in the block for each row)."""
        queries = len(np.unique(query))
        return Counts(len(query), queries, negatives, len(self.block.qids) - queries)

    def _together(self, only: Index | None) -> tuple[Index, Index]:
        """Order of positives and negatives, one behind the other, by query; and the queries."""
        query = np.concatenate(
            [self.block.positives.query[self.positives], self.block.pairs.query[self.negatives]]
        )
        order = np.argsort(query, kind="stable")
        if only is not None:
            order = order[np.isin(query[order], only)]
        return order, query[order]

    def _starts(self, query: Index) -> Index:
        return np.searchsorted(query, np.arange(len(self.block.qids) + 1))
