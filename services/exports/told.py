"""What is known of a query's passages where a file is checked: judgements and, above them, people's word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from services.collections.collection import Collection
from services.mining.exclusion import Judgements
from services.mining.ranking import Ords
from services.negatives.marks import Marks
from services.negatives.verdicts import Verdict


class Told(NamedTuple):
    """Passages of one query, ascending.

    Attributes:
        positives: By judgement or by a person.
        no_negatives: These, what is judged above zero, and what a person has taken out.
        kept: A person says that they are negatives, which counts for more than texts.
    """

    positives: Ords
    no_negatives: Ords
    kept: Ords


class Known:
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

    def of(self, qord: int) -> Told:
        """What is known for a query; nothing for one that is not there (-1)."""
        positives, above_zero = self._judgements.of(qord)
        lo, hi = np.searchsorted(self._marks.qords, [qord, qord + 1])
        marked, keep = self._marks.ords[lo:hi], self._marks.verdicts[lo:hi] == Verdict.KEEP
        return Told(positives, np.union1d(above_zero, marked[~keep]).astype(np.int32), marked[keep])
