"""Reciprocal rank fusion with a weight per leg (`weights` of Elasticsearch's own `rrf` retriever)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from services.search.fusion.base import Floats, Leg, Param, shares
from services.search.fusion.rrf import K, ReciprocalRank


class WeightedReciprocalRank(ReciprocalRank):
    """For legs that are known to be unequal."""

    name = "weighted-rrf"
    help = "weighted sum of 1 / (k + rank) over the legs that list the passage"
    params: ClassVar[Mapping[str, Param]] = {
        "k": K,
        "dense": Param(0.5, 0, 1, "weight of the dense legs together; BM25 has the rest"),
    }

    def weights(self, legs: Sequence[Leg], params: Mapping[str, float]) -> Floats:
        """See `shares`."""
        return shares(legs, params["dense"])
