"""Convex combination of standard scores of the candidates (Montague, Aslam: CIKM 2001)."""

from __future__ import annotations

import numpy as np

from services.search.fusion.base import Candidates, Floats, Param
from services.search.fusion.convex import Convex


class ZScore(Convex):
    """A candidate that stands out in a leg counts by how far it does."""

    name = "convex-zscore"
    help = "weighted sum of scores in standard deviations from the candidates' mean"
    params = {"dense": Param(0.6, 0, 1, "weight of the dense legs together; BM25 has the rest")}  # noqa: RUF012

    def column(self, candidates: Candidates, n: int) -> Floats:
        """See `Convex`."""
        scores = candidates.scores[:, n]
        if not len(scores) or np.ptp(scores) == 0:
            return np.zeros(len(scores))
        standard: Floats = (scores - scores.mean()) / scores.std()
        return standard
