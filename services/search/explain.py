"""Why a hit is where it is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from services.search.fusion import fusion_named

if TYPE_CHECKING:
    from services.search.engine import Ranking
    from services.search.request import SearchRequest


def explain(ranking: Ranking, place: int, request: SearchRequest) -> dict[str, Any]:
    """How one hit came about.

    Returns:
        `fusion`, `params`, `fused`, final `rank`, and per leg `rank` (None: not in the leg's list), `score`
        (None: not known), `normalised`, `weight`; `fused` is the sum of normalised times weight.
    """
    table, row = ranking.candidates, int(ranking.rows[place])
    several = len(table.legs) > 1
    legs = {}
    for column, leg in enumerate(table.legs):
        rank, score = int(table.ranks[row, column]), float(table.scores[row, column])
        legs[leg.name] = {
            "rank": rank or None,
            "score": None if math.isnan(score) else score,
            "normalised": float(ranking.normalised[row, column]),
            "weight": float(ranking.weights[column]),
        }
    _, params = fusion_named(request.fusion, request.params)
    return {
        "fusion": request.fusion if several else None,
        "params": params if several else {},
        "legs": legs,
        "fused": float(ranking.scores[place]),
        "rank": place + 1,
    }
