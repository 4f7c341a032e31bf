"""Ranges laid end to end, for rows of different lengths: gathered without a loop, cut where memory ends."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.int64]


def ranges(starts: Index, sizes: Index) -> Index:
    """All of `starts[n], starts[n] + 1, …`, `sizes[n]` of them, for each n."""
    within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.repeat(starts, sizes) + within


def slices(sizes: Index, most: int, rows: int | None = None) -> Iterator[slice]:
    """Neighbours whose sizes sum up to `most`, and which are `rows` at most; what is larger is alone."""
    ends = np.cumsum(sizes)
    lo = 0
    while lo < len(sizes):
        full = int(ends.searchsorted(ends[lo] - sizes[lo] + most, side="right"))
        hi = min(max(full, lo + 1), lo + (rows or len(sizes)))
        yield slice(lo, hi)
        lo = hi
