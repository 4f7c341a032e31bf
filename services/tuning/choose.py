"""The choice: cross-validated, and against the better leg. Pure: values in, a verdict out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.errors import UsageError
from services.tuning.intervals import Difference, difference

Floats = npt.NDArray[np.float64]
FOLDS = 5
FEWEST = 20
"""Queries with labels: fewer tell nothing apart."""


@dataclass(frozen=True)
class Verdict:
    """What came of it; arms are known by their place.

    Attributes:
        better: Of the single legs, the best.
        best: Of the fused ones, that which is recommended if fusion is: the default (the first of them),
            unless another is significantly better on queries that it was not chosen by.
        held_out: Of choosing: what the choices of four fifths gain over the default on the fifth that they
            have not seen.
        gain: Of `best` over the better leg, by held-out queries where it was chosen by any.
        hybrid: Whether that is significant: its whole interval is above 0.
        folds: What each fold's other four fifths chose.
    """

    better: int
    best: int
    held_out: Difference
    gain: Difference
    hybrid: bool
    folds: list[int]


def choose(alone: Floats, fused: Floats, seed: int = 0) -> Verdict:
    """Choose a fused arm, and say whether it is worth it.

    Args:
        alone: float64 [legs, queries], each leg's value.
        fused: float64 [arms, queries]; the default is the first.
        seed: Of the folds.

    Raises:
        UsageError: there are too few queries.
    """
    queries = alone.shape[1]
    if queries < FEWEST:
        raise UsageError(
            f"{queries} queries with labels are too few to choose by: at least {FEWEST} are wanted",
            hint="take another --split, or --labels ce on queries that have no judgements",
        )
    fold = np.random.default_rng(seed).permutation(queries) % FOLDS
    chosen = [int(np.argmax(fused[:, fold != n].mean(axis=1))) for n in range(FOLDS)]
    unseen = fused[np.asarray(chosen)[fold], np.arange(queries)]
    held_out = difference(unseen - fused[0])
    better = int(np.argmax(alone.mean(axis=1)))
    if held_out.low > 0:
        best, gain = int(np.argmax(fused.mean(axis=1))), difference(unseen - alone[better])
    else:
        best, gain = 0, difference(fused[0] - alone[better])
    return Verdict(better, best, held_out, gain, gain.low > 0, chosen)
