"""A histogram of a stream of values whose range nobody knows before: bins double their width as it grows."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

BINS = 40
"""At most so many between the first and the last value."""
_NARROWEST = 2.0**-6


class Histogram:
    """Counts by bin; `edges[n] <= value < edges[n + 1]`. All counts are exact, NaN counts as missing.

    Bin n of width w covers `[n * w, (n + 1) * w)`; two neighbours merge into one when the width doubles,
    so that the result does not depend on the order of the values.
    """

    def __init__(self) -> None:
        self.width = _NARROWEST
        self.missing = 0
        self._counts: dict[int, int] = {}

    def add(self, values: npt.NDArray[np.floating]) -> None:
        """Count some finite values or NaN."""
        known = values[~np.isnan(values)].astype(np.float64)
        self.missing += len(values) - len(known)
        if not len(known):
            return
        lo, hi = float(known.min()), float(known.max())
        while math.floor(hi / self.width) - math.floor(lo / self.width) >= BINS:
            self._double()
        bins, counts = np.unique(np.floor(known / self.width).astype(np.int64), return_counts=True)
        for place, count in zip(bins.tolist(), counts.tolist(), strict=True):
            self._counts[place] = self._counts.get(place, 0) + count
        while max(self._counts) - min(self._counts) >= BINS:
            self._double()

    @property
    def total(self) -> int:
        """How many values were counted, missing ones not included."""
        return sum(self._counts.values())

    @property
    def edges(self) -> list[float]:
        """Ends of the bins, one more than there are bins; empty where nothing was counted."""
        if not self._counts:
            return []
        return [place * self.width for place in range(min(self._counts), max(self._counts) + 2)]

    @property
    def counts(self) -> list[int]:
        """Per bin, how many values."""
        if not self._counts:
            return []
        return [self._counts.get(place, 0) for place in range(min(self._counts), max(self._counts) + 1)]

    def as_dict(self) -> dict[str, object]:
        """The shape of `--json`."""
        return {"edges": self.edges, "counts": self.counts, "missing": self.missing}

    def coarse(self, bins: int) -> Histogram:
        """The same counts in at most so many bins (at least two)."""
        found = self.at(self.width)
        while len(found.counts) > max(bins, 2):
            found._double()
        return found

    def at(self, width: float) -> Histogram:
        """The same counts in bins at least so wide."""
        found = Histogram()
        found.width, found.missing, found._counts = self.width, self.missing, dict(self._counts)
        while found.width < width:
            found._double()
        return found

    def lines(self, bins: int = 20) -> list[str]:
        """As text, a line per bin, which begins with the bin's lower end."""
        shown = self.coarse(bins)
        longest = max(shown.counts, default=1)
        digits = max((len(f"{edge:g}") for edge in shown.edges), default=1)
        return [
            f"{edge:>{digits}g}  {'#' * math.ceil(30 * count / longest):<30}  {count:,}"
            for edge, count in zip(shown.edges, shown.counts, strict=False)
        ]

    def _double(self) -> None:
        self.width *= 2
        merged: dict[int, int] = {}
        for place, count in self._counts.items():
            merged[place // 2] = merged.get(place // 2, 0) + count
        self._counts = merged
