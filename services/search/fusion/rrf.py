"""Reciprocal rank fusion (Cormack, Clarke, Büttcher: SIGIR 2009): ranks only, no scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from services.search.fusion.base import Candidates, Floats, Fusion, Param

K = Param(60, 0, 1000, "the larger, the less the first places count")


class ReciprocalRank(Fusion):
    """Good between legs of like quality; between unequal ones it falls below the better leg."""

    name = "rrf"
    help = "sum of 1 / (k + rank) over the legs that list the passage"
    params: ClassVar[Mapping[str, Param]] = {"k": K}
    needs_scores = False

    def normalised(self, candidates: Candidates, params: Mapping[str, float]) -> Floats:
        """1 / (k + rank); 0 for a leg that does not list the passage."""
        ranks = candidates.ranks
        return np.where(ranks > 0, 1.0 / (params["k"] + np.maximum(ranks, 1)), 0.0)
