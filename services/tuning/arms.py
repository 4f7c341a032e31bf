"""What is compared: every leg alone, and fusion methods with their parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from services.search.fusion import Candidates, Leg, fusion_named
from services.search.resolve import DEFAULT_FUSION
from services.search.table import bounded

GRID: dict[str, tuple[float, ...]] = {
    "surprisal": (0.5, 0.3, 0.4, 0.6, 0.7, 0.8),
    "convex": (0.5, 0.6, 0.7, 0.8, 0.9),
    "convex-zscore": (0.3, 0.4, 0.5, 0.6, 0.7),
    "convex-minmax": (0.3, 0.5, 0.7),
    "weighted-rrf": (0.3, 0.5, 0.7),
}
"""Shares of all legs but BM25 that are tried."""


@dataclass(frozen=True)
class Arm:
    """One way to answer.

    Attributes:
        leg: The leg that answers alone; None: all legs, fused.
        fusion: The method; None where one leg answers.
        params: Those that are set; the others have their default.
    """

    leg: Leg | None = None
    fusion: str | None = None
    params: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For people: `bm25`, `convex dense=0.7`."""
        if self.leg is not None:
            return self.leg.name
        return " ".join([self.fusion or "", *(f"{key}={value:g}" for key, value in self.params.items())])

    def order(self, table: Candidates, depth: int) -> np.ndarray[Any, np.dtype[np.int32]]:
        """Ords of the best `depth` candidates for one query, best first."""
        if self.leg is not None:
            ranks = table.ranks[:, table.legs.index(self.leg)]
            listed = np.flatnonzero(ranks)
            return table.ords[listed[np.argsort(ranks[listed])]][:depth]
        method, params = fusion_named(self.fusion or "", self.params)
        whole = bounded(table, [0.0] * len(table.legs)) if method.needs_scores else table
        fused = method.normalised(whole, params) @ method.weights(table.legs, params)
        return table.ords[np.lexsort((table.ords, -fused))][:depth]


def alone(legs: Sequence[Leg]) -> list[Arm]:
    """Every leg by itself."""
    return [Arm(leg=leg) for leg in legs]


def default() -> Arm:
    """What is fused with where nothing was chosen."""
    return Arm(fusion=DEFAULT_FUSION)


def fused() -> list[Arm]:
    """The default first, then all others of the grid."""
    method, values = fusion_named(DEFAULT_FUSION, {})
    others = [Arm(fusion=name, params={"dense": dense}) for name, shares in GRID.items() for dense in shares]
    usual = [arm for arm in others if (arm.fusion, arm.params) != (method.name, values)]
    return [default(), *usual]
