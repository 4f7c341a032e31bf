"""Ids seen so far, compactly: 24 bytes an id, so that 8.8 M ids take about 0.2 GB.

An id is its 128-bit BLAKE2b hash: among 10^7 ids the chance of one false duplicate is about 10^-25.
Hashes lie in sorted runs that are merged when two have like sizes, so that every id is moved
O(log n) times and looked up in O(log n) runs.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
Values = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Run:
    """Sorted by (high, low). Three arrays of one length."""

    high: Keys
    low: Keys
    values: Values

    def __len__(self) -> int:
        return len(self.high)

    def find(self, high: Keys, low: Keys, out: Values) -> None:
        """Write the values of the ids that are here into `out`; ids come sorted."""
        at = np.searchsorted(self.high, high)
        inside = np.flatnonzero(at < len(self))
        for i in inside[self.high[at[inside]] == high[inside]]:
            j = at[i]
            while j < len(self) and self.high[j] == high[i]:
                if self.low[j] == low[i]:
                    out[i] = self.values[j]
                    break
                j += 1


def _sorted_run(high: Keys, low: Keys, values: Values) -> _Run:
    order = np.argsort(high, kind="stable")
    return _Run(high[order], low[order], values[order])


def _merged(a: _Run, b: _Run) -> _Run:
    high, low = np.concatenate((a.high, b.high)), np.concatenate((a.low, b.low))
    return _sorted_run(high, low, np.concatenate((a.values, b.values)))


class SeenIds:
    """A growing map of ids to int64 values (a line, an ord)."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []

    def add(self, ids: list[str], values: Values) -> Values:
        """Add ids; the first occurrence of an id keeps its value.

        Args:
            ids: At least one id; thousands at a time are best.
            values: int64 [len(ids)], not negative.

        Returns:
            int64 [len(ids)]: -1 where the id is new, else the value of its first occurrence.
        """
        digests = b"".join(hashlib.blake2b(text.encode(), digest_size=16).digest() for text in ids)
        keys = np.frombuffer(digests, np.uint64).reshape(-1, 2)
        order = np.lexsort((np.arange(len(ids)), keys[:, 1], keys[:, 0]))
        high, low, ranked = keys[order, 0], keys[order, 1], values[order]
        found = np.full(len(ids), -1, np.int64)
        for run in self._runs:
            run.find(high, low, found)
        for i in np.flatnonzero((high[1:] == high[:-1]) & (low[1:] == low[:-1])) + 1:
            if found[i] < 0:  # repeated within this batch: the one before it, or that one's first
                found[i] = found[i - 1] if found[i - 1] >= 0 else ranked[i - 1]
        new = found < 0
        if new.any():
            self._push(_Run(high[new], low[new], ranked[new]))
        result = np.empty_like(found)
        result[order] = found
        return result

    def _push(self, run: _Run) -> None:
        self._runs.append(run)
        while len(self._runs) > 1 and len(self._runs[-2]) < 2 * len(self._runs[-1]):
            last = self._runs.pop()
            self._runs[-1] = _merged(self._runs[-1], last)
