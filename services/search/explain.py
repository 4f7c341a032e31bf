"""Why a hit is where it is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from services.search.ask import Ranked


def explain(ranked: Ranked, place: int) -> dict[str, Any]:
    """How one hit came about.

    Args:
        ranked: A page.
        place: Of the hit on the page, from 0.

    Returns:
        `fusion`, `params`; per leg `rank` (None: not in the leg's list), `score` (None: not known),
        `normalised`, `weight`; `fused`, the sum of normalised times weight, and `fused_rank`; `ce_score`
        (None: not reranked); the final `rank`.
    """
    fused, before = ranked.fused, int(ranked.places[place])
    table, row = fused.candidates, int(fused.rows[before])
    legs = {}
    for column, leg in enumerate(table.legs):
        rank = int(table.ranks[row, column])
        legs[leg.name] = {
            "rank": rank or None,
            "score": _number(table.scores[row, column]),
            "normalised": float(fused.normalised[row, column]),
            "weight": float(fused.weights[column]),
        }
    return {
        "fusion": ranked.method,
        "params": dict(ranked.params),
        "legs": legs,
        "fused": float(fused.scores[before]),
        "fused_rank": before + 1,
        "ce_score": _number(ranked.ce_scores[place]),
        "rank": ranked.start + place + 1,
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
