"""People's verdicts as arrays: what a reader of candidates needs of `msm-marks`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.collections.collection import Collection
from services.mining.ranking import Ords, pair_keys
from services.negatives.block import Codes, Index, Mask
from services.negatives.verdicts import Verdict
from services.store import fingerprint


@dataclass(frozen=True)
class Mark:
    """What a person thinks of a passage as an answer to a query."""

    qid: str
    pid: str
    verdict: Verdict
    reason: str


class Marks:
    """The marks of one collection state, by query and passage.

    Args:
        collection: The state; marks on queries or passages that it does not have are left out.
        marks: In any order, one per (qid, pid).
    """

    def __init__(self, collection: Collection, marks: Sequence[Mark]) -> None:
        qords = collection.qords_of([mark.qid for mark in marks])
        ords = collection.ords_of([mark.pid for mark in marks])
        known = np.flatnonzero((qords >= 0) & (ords >= 0))
        order = known[np.lexsort((ords[known], qords[known]))]
        self._marks = [marks[n] for n in order.tolist()]
        self.qords, self.ords = qords[order], ords[order]
        self.verdicts: Codes = np.array([mark.verdict for mark in self._marks], np.uint8)

    def __len__(self) -> int:
        return len(self._marks)

    @property
    def fingerprint(self) -> str | None:
        """Hash of what they say, for manifests; None where there is none."""
        said = [[mark.qid, mark.pid, mark.verdict.label] for mark in self._marks]
        return fingerprint(said) if said else None

    @property
    def positives(self) -> tuple[tuple[str, str], ...]:
        """(qid, pid) of what people call positive, by qord and ord."""
        return tuple((mark.qid, mark.pid) for mark in self._marks if mark.verdict == Verdict.POSITIVE)

    def of(self, qords: Ords, ords: Ords) -> tuple[Codes, Mask]:
        """Per pair, the verdict and whether there is one."""
        places = self._places(qords, ords)
        marked = places >= 0
        codes = np.zeros(len(ords), np.uint8)
        codes[marked] = self.verdicts[places[marked]]
        return codes, marked

    def reason(self, qord: int, ord_: int) -> str | None:
        """What the person said of a pair, or None."""
        place = int(self._places(np.array([qord], np.int32), np.array([ord_], np.int32))[0])
        return self._marks[place].reason if place >= 0 else None

    def _places(self, qords: Ords, ords: Ords) -> Index:
        """Per pair, the position of its mark; -1 where there is none."""
        keys, wanted = pair_keys(self.qords, self.ords), pair_keys(qords, ords)
        if not len(keys):
            return np.full(len(wanted), -1, np.int64)
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[places] == wanted, places, -1)
