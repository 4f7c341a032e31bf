"""Convex combination: a weighted sum of scores, each leg's brought to a common scale first.

`convex` takes theoretical min-max for that, the best of the normalisations that Bruch, Gai and Ingber compare
(An Analysis of Fusion Functions for Hybrid Retrieval, TOIS 2023): from the least score that the leg could
give anything (0 for BM25 and sparse legs, -1 for a cosine) to its best for this query. A dot product has no
least value: there it is the mean score of a random sample of the passages, and where none was scored that of
the last candidate. A passage that a leg does not list is given the leg's true score, not that of the list's
last.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from services.search.fusion.base import Candidates, Floats, Fusion, Leg, Param, shares

_LEAST = {"bm25": 0.0, "sparse": 0.0, "cosine": -1.0}


class Convex(Fusion):
    """What all convex combinations share; a subclass says how a leg's scores are normalised."""

    needs_scores = True

    def normalised(self, candidates: Candidates, params: Mapping[str, float]) -> Floats:
        """Leg by leg."""
        return np.column_stack([self.column(candidates, n) for n in range(len(candidates.legs))])

    @abstractmethod
    def column(self, candidates: Candidates, n: int) -> Floats:
        """float64 [candidates]: one leg's scores, normalised; all 0 where it tells nothing apart."""

    def weights(self, legs: Sequence[Leg], params: Mapping[str, float]) -> Floats:
        """See `shares`."""
        return shares(legs, params["dense"])


def between(scores: Floats, least: float, most: float) -> Floats:
    """Scores mapped so that `least` becomes 0 and `most` 1; all 0 where there is nothing between them."""
    span = most - least
    return (scores - least) / span if span > 0 else np.zeros(len(scores))


class TheoreticalMinMax(Convex):
    """Between the least possible score and the best."""

    name = "convex"
    help = "weighted sum of scores between the least possible one and the query's best"
    params = {"dense": Param(0.8, 0, 1, "weight of the dense legs together; BM25 has the rest")}  # noqa: RUF012
    needs_background = True

    def column(self, candidates: Candidates, n: int) -> Floats:
        """See `Convex`."""
        scores = candidates.scores[:, n]
        least = _LEAST.get(candidates.legs[n].scale)
        if least is None:
            sampled = candidates.sampled(n)
            least = float(sampled.mean() if len(sampled) else scores.min(initial=np.inf))
        return between(scores, least, float(scores.max(initial=-np.inf)))
