"""Convex combination of scores between the last and the first candidate (Lee: SIGIR 1997)."""

from __future__ import annotations

import numpy as np

from services.search.fusion.base import Candidates, Floats, Param
from services.search.fusion.convex import Convex, between


class MinMax(Convex):
    """What most engines offer; it stretches a list that tells little apart as far as one that tells much."""

    name = "convex-minmax"
    help = "weighted sum of scores between the query's last and best candidate"
    params = {"dense": Param(0.5, 0, 1, "weight of the dense legs together; BM25 has the rest")}  # noqa: RUF012

    def column(self, candidates: Candidates, n: int) -> Floats:
        """See `Convex`."""
        scores = candidates.scores[:, n]
        return between(scores, float(scores.min(initial=np.inf)), float(scores.max(initial=-np.inf)))
