"""How sure a mean difference is: paired bootstrap (Efron 1979; Sakai: SIGIR 2006)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
DRAWS = 10_000
_AT_ONCE = 2_000_000  # numbers drawn at a time


@dataclass(frozen=True)
class Difference:
    """A mean difference over queries.

    Attributes:
        mean: Of the differences.
        low, high: Its 95 % interval.
        p: Two-sided, of a mean that is 0: share of resamples, shifted to mean 0, that are as far from it.
    """

    mean: float
    low: float
    high: float
    p: float


def difference(values: Floats, seed: int = 0) -> Difference:
    """The mean of paired differences with its bootstrap interval, always the same for the same values.

    Args:
        values: float64 [queries], at least one.
        seed: Of the resampling.
    """
    rng = np.random.default_rng(seed)
    mean, means = float(values.mean()), []
    rows = max(1, min(DRAWS, _AT_ONCE // len(values)))
    for done in range(0, DRAWS, rows):
        drawn = rng.integers(0, len(values), (min(rows, DRAWS - done), len(values)))
        means.append(values[drawn].mean(axis=1))
    drawn_means = np.concatenate(means)
    low, high = np.percentile(drawn_means, [2.5, 97.5])
    p = (1 + np.count_nonzero(np.abs(drawn_means - mean) >= abs(mean))) / (1 + DRAWS)
    return Difference(mean, float(low), float(high), float(p))
