"""Ranges laid end to end: how rows of different lengths are gathered without a loop."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.int64]


def ranges(starts: Index, sizes: Index) -> Index:
    """All of `starts[n], starts[n] + 1, …`, `sizes[n]` of them, for each n."""
    within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.repeat(starts, sizes) + within
