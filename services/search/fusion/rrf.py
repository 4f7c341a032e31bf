"""Reciprocal rank fusion (Cormack, Clarke, Büttcher: SIGIR 2009): ranks only, no scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from services.search.fusion.base import Candidates, Floats, Fusion, Param


class ReciprocalRank(Fusion):
    """Good between legs of like quality; between unequal ones it falls below the better leg."""

    name = "rrf"
    help = "sum of 1 / (k + rank) over the legs that list the passage"
    params = {"k": Param(60, 1, 1000, "the larger, the less the first places count")}  # noqa: RUF012
    needs_scores = False

    def normalised(self, candidates: Candidates, params: Mapping[str, float]) -> Floats:
        """1 / (k + rank); 0 for a leg that does not list the passage."""
        ranks = candidates.ranks
        return np.where(ranks > 0, 1.0 / (params["k"] + ranks), 0.0)
