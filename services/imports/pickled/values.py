"""What lies on the machine's stack besides ids and numbers: the marks of a dict, and one query's scores."""

from __future__ import annotations

from typing import Final

import numpy as np

from services.imports.pickled.runs import Floats, Ints

Id = int | str


class Mark:
    """What MARK pushes."""


class Outer:
    """The dict of all queries."""


class Nothing:
    """What a put would keep where nothing has been pushed."""


MARK: Final = Mark()
NOTHING: Final = Nothing()
OUTER: Final = Outer()


class Scores:
    """The dict of one query's scores, while it is read."""

    __slots__ = ("_pids", "_runs", "_scores", "offset", "qid", "size")

    def __init__(self, qid: Id, offset: int) -> None:
        self.qid = qid
        self.offset = offset
        self.size = 0
        self._pids: list[Id] = []
        self._scores: list[float] = []
        self._runs: list[tuple[Ints | list[Id], Floats]] = []

    def add(self, pid: Id, score: float) -> None:
        """One pair."""
        self._pids.append(pid)
        self._scores.append(score)
        self.size += 1

    def extend(self, pids: Ints | list[Id], scores: Floats) -> None:
        """Many pairs."""
        self._close()
        self._runs.append((pids, scores))
        self.size += len(pids)

    def taken(self) -> tuple[Ints | list[Id], Floats]:
        """The pairs so far; they are gone from here."""
        self._close()
        runs, self._runs, self.size = self._runs, [], 0
        if len(runs) == 1:
            return runs[0]
        numbers = np.concatenate([np.empty(0), *(numbers for _, numbers in runs)])
        arrays = [pids for pids, _ in runs if not isinstance(pids, list)]
        if runs and len(arrays) == len(runs):
            return np.concatenate(arrays), numbers
        return [
            pid for pids, _ in runs for pid in (pids if isinstance(pids, list) else pids.tolist())
        ], numbers

    def _close(self) -> None:
        if self._pids:
            self._runs.append((self._pids, np.array(self._scores, np.float64)))
            self._pids, self._scores = [], []
