"""What is known of a query's passages where a file is checked: judgements and, above them, people's word."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from services.collections.collection import Collection
from services.mining.exclusion import Judgements
from services.mining.ranking import Ords
from services.negatives.marks import Marks
from services.negatives.verdicts import Verdict

_KEPT = 8
"""Answers: rows of a query mostly lie together, and a row may call very many passages positive."""


class QueryLabels(NamedTuple):
    """Passages of one query, ascending.

    Attributes:
        positives: By judgement or by a person.
        no_negatives: These, what is judged above zero, and what a person has taken out.
        kept: A person says that they are negatives, which counts for more than texts.
    """

    positives: Ords
    no_negatives: Ords
    kept: Ords


class Labels:
    """By query.

    Args:
        collection: Its present state.
        splits: Whose judgements count; None: every split's.
        marks: People's marks; None: they are not taken into account.

    Raises:
        NotFound: no such split.
    """

    def __init__(self, collection: Collection, splits: Sequence[str] | None, marks: Marks | None) -> None:
        for split in splits or ():
            collection.split_members(split)
        self._marks = marks or Marks(collection, [])
        positive = self._marks.verdicts == Verdict.POSITIVE
        judged = Judgements(collection, splits)
        self._judgements = judged.overlaid(self._marks.qords, self._marks.ords, positive)
        self._last = lru_cache(_KEPT)(self._look_up)

    def of(self, qord: int, own: tuple[int, ...] = ()) -> QueryLabels:
        """What is known for a query; nothing for one that is not there (-1).

        Args:
            qord: The query.
            own: What a row itself calls positive; a person's `keep` does not count against it.
        """
        return self._last(qord, own)

    def _look_up(self, qord: int, own: tuple[int, ...]) -> QueryLabels:
        positives, above_zero = self._judgements.of(qord)
        lo, hi = np.searchsorted(self._marks.qords, [qord, qord + 1])
        marked, keep = self._marks.ords[lo:hi], self._marks.verdicts[lo:hi] == Verdict.KEEP
        called = np.array(own, np.int32)
        return QueryLabels(
            np.union1d(positives, called).astype(np.int32),
            np.union1d(above_zero, np.concatenate([marked[~keep], called])).astype(np.int32),
            np.setdiff1d(marked[keep], called),
        )
