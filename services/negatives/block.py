"""Candidates of some queries by several systems, as columns: what verdicts, filters and exports work on.

A passage that several systems return for a query is one *pair*, judged once; each system's *row* points
at its pair. Columns keep half a billion rows within reach: a block of 2,048 queries by 13 systems at
depth 50 is 1.3 million rows, 20 MB.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from services.mining.ranking import Ords, Scores
from services.systems.system import System

Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.uint8]
Margins = npt.NDArray[np.float64]


def below(positive: Scores, candidate: Scores) -> Margins:
    """How far candidates score below positives; in float64 the difference of two float32 is exact."""
    return positive.astype(np.float64) - candidate


@dataclass(frozen=True)
class Positives:
    """The positives of a block's queries; those of query `q` lie at `starts[q]:starts[q + 1]`.

    Attributes:
        starts: int64 [queries + 1].
        ords: Ascending within a query.
        ce: Cross-encoder scores; NaN where there is none.
        labelled: Whether qrels or a person say so (else the cross-encoder, by `--relabel`).
    """

    starts: Index
    ords: Ords
    ce: Scores
    labelled: Mask

    @cached_property
    def query(self) -> Index:
        """Per positive, the query that it belongs to."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    @cached_property
    def lowest(self) -> Scores:
        """Per query, the lowest score of its labelled positives; NaN where none is scored."""
        return self.lowest_of(self.ce)

    @cached_property
    def highest(self) -> Scores:
        """Per query, the highest score of its labelled positives; NaN where none is scored."""
        return -self.lowest_of(-self.ce)

    def bar(self, per: Literal["lowest", "positive"]) -> Scores:
        """Per query, what a candidate must be below by a margin: the lowest positive, or any of them."""
        return self.lowest if per == "lowest" else self.highest

    def of(self, query: int) -> Ords:
        """The ords of one query's positives."""
        return self.ords[self.starts[query] : self.starts[query + 1]]

    def lowest_of(self, scores: Scores) -> Scores:
        """Per query, the lowest of some scores of its labelled positives; NaN where none has one."""
        found = np.full(len(self.starts) - 1, np.inf, np.float32)
        scored = self.labelled & ~np.isnan(scores)
        np.minimum.at(found, self.query[scored], scores[scored])
        found[np.isinf(found)] = np.nan
        return found


@dataclass(frozen=True)
class Pairs:
    """The distinct (query, passage) pairs of a block, sorted by both.

    Attributes:
        query: int64, position of the query in the block.
        ords: int32.
        ce: float32, cross-encoder score; NaN where there is none.
        reason: `services.mining.exclusion.Reason`.
        verdict: `services.negatives.verdicts.Verdict`.
        marked: Whether the verdict is a person's.
    """

    query: Index
    ords: Ords
    ce: Scores
    reason: Codes
    verdict: Codes
    marked: Mask

    def __len__(self) -> int:
        return len(self.ords)


class NamedScores(NamedTuple):
    """Further scores that a filter asks for by name: float32 [pairs] and [positives], NaN where missing."""

    pairs: Scores
    positives: Scores


@dataclass(frozen=True)
class CandidateBlock:
    """Rows sorted by (query, system, rank).

    Attributes:
        qords: int32 [queries], ascending.
        qids: Of the queries.
        systems: In registry order.
        pair: int64 [rows], position in `pairs`.
        system: int16 [rows], position in `systems`.
        rank: int32 [rows], the system's own, 1-based, before anything was left out.
        score: float32 [rows], the system's own.
        pairs: Each passage of a query once.
        positives: Of the queries.
        named_scores: By name, those that filters ask for.
    """

    qords: Ords
    qids: list[str]
    systems: tuple[System, ...]
    pair: Index
    system: npt.NDArray[np.int16]
    rank: Ords
    score: Scores
    pairs: Pairs
    positives: Positives
    named_scores: dict[str, NamedScores] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pair)

    @cached_property
    def query(self) -> Index:
        """Per row, the position of its query."""
        return self.pairs.query[self.pair]

    @cached_property
    def ords(self) -> Ords:
        """Per row, the passage."""
        return self.pairs.ords[self.pair]

    @cached_property
    def margin(self) -> Margins:
        """Per pair, its query's lowest positive's ce_score minus its own; NaN where either has none."""
        return below(self.positives.lowest[self.pairs.query], self.pairs.ce)

    def merged(self, kept: Mask) -> Index:
        """The kept pairs, each once, by query; within a query by best rank, ties by system."""
        rows = np.flatnonzero(kept)
        none = np.iinfo(np.int64).max
        best = np.full(len(self.pairs), none)
        place = self.rank[rows].astype(np.int64) * len(self.systems) + self.system[rows]
        np.minimum.at(best, self.pair[rows], place)
        found = np.flatnonzero(best < none)
        return found[np.argsort((self.pairs.query[found] << 40) | best[found])]

    def by_system(self, kept: Mask, system: int) -> tuple[Index, Index]:
        """The kept rows of one system in order, and where each query's begin [queries + 1]."""
        rows = np.flatnonzero(kept & (self.system == system))
        starts = np.searchsorted(self.query[rows], np.arange(len(self.qords) + 1))
        return rows, starts
