"""Convex combination with theoretical min-max (Bruch, Gai, Ingber: TOIS 2023).

Each leg's scores are brought to 0…1 between the least score that the leg could give anything (0 for BM25,
-1 for a cosine) and its best for this query. A passage that a leg does not list is given the leg's true
score, not the last of the list. A dot product has no least value: there it is that of the candidates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from services.search.fusion.base import Candidates, Floats, Fusion, Leg, Param

_LEAST = {"bm25": 0.0, "cosine": -1.0}


class Convex(Fusion):
    """The best method without labels on our test collections (docs/search.md)."""

    name = "convex"
    help = "weighted sum of scores between the least possible and the query's best"
    params = {"dense": Param(0.8, 0, 1, "weight of the dense legs together; BM25 has the rest")}  # noqa: RUF012
    needs_scores = True

    def normalised(self, candidates: Candidates, params: Mapping[str, float]) -> Floats:
        """Between the least and the best, 0 to 1; all 0 where a leg tells nothing apart."""
        columns = []
        for n, leg in enumerate(candidates.legs):
            scores = candidates.scores[:, n]
            least = _LEAST.get(leg.scale, float(scores.min(initial=np.inf)))
            span = float(scores.max(initial=-np.inf)) - least
            columns.append((scores - least) / span if span > 0 else np.zeros(len(scores)))
        return np.column_stack(columns)

    def weights(self, legs: Sequence[Leg], params: Mapping[str, float]) -> Floats:
        """The dense legs share their weight evenly; the sum is 1 whichever legs there are."""
        dense = max(1, sum(leg.scale != "bm25" for leg in legs))
        shares = np.array(
            [1 - params["dense"] if leg.scale == "bm25" else params["dense"] / dense for leg in legs]
        )
        return shares / shares.sum() if shares.sum() > 0 else np.full(len(legs), 1 / len(legs))
