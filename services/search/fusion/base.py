"""What a fusion method is: a name, parameters, and a function over a table of candidates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Leg:
    """One system's part in a search: `bm25`, or a served system by name and by what its scores are."""

    name: str
    scale: Literal["bm25", "cosine", "dot", "sparse"]


@dataclass(frozen=True)
class Background:
    """How the legs score passages that nothing picked: a fixed random sample of what is searched.

    Attributes:
        passages: How many there are to search.
        scores: Per leg, float64 [sampled passages]; empty where the leg did not score them.
    """

    passages: int
    scores: tuple[Floats, ...]


@dataclass(frozen=True)
class Candidates:
    """All that any leg found for one query.

    Attributes:
        legs: The columns.
        ords: int32 [n], ascending.
        ranks: int32 [n, legs]: 1-based place in the leg's own list, 0 where it is not in it.
        scores: float64 [n, legs]: the leg's score; NaN where it is not known.
        background: What the scores are to be seen against; None where nothing was sampled.
    """

    legs: tuple[Leg, ...]
    ords: npt.NDArray[np.int32]
    ranks: npt.NDArray[np.int32]
    scores: Floats
    background: Background | None = None

    def sampled(self, column: int) -> Floats:
        """A leg's scores of the sampled passages, float64 [n]; empty where they are not known."""
        return np.empty(0) if self.background is None else self.background.scores[column]


@dataclass(frozen=True)
class Param:
    """A parameter of a method: default, allowed range, and one line of help."""

    default: float
    low: float
    high: float
    help: str


class Fusion(ABC):
    """A method: the fused score of a candidate is the weighted sum of its normalised scores."""

    name: ClassVar[str]
    help: ClassVar[str]
    params: ClassVar[Mapping[str, Param]]
    needs_scores: ClassVar[bool]
    """Whether every leg's true score is wanted for every candidate, also where the leg did not list it."""
    needs_background: ClassVar[bool] = False
    """Whether the legs' scores of a sample of the passages are wanted."""

    @abstractmethod
    def normalised(self, candidates: Candidates, params: Mapping[str, float]) -> Floats:
        """float64 [n, legs]: the legs' scores on one common scale."""

    def weights(self, legs: Sequence[Leg], params: Mapping[str, float]) -> Floats:
        """float64 [legs]: how much each leg counts; 1 unless the method says otherwise."""
        return np.ones(len(legs))


def shares(legs: Sequence[Leg], dense: float) -> Floats:
    """Weights that sum to 1 whichever legs there are.

    Args:
        legs: The columns.
        dense: What all legs but BM25 have together, in even shares; BM25 has the rest.
    """
    others = max(1, sum(leg.scale != "bm25" for leg in legs))
    weights = np.array([1 - dense if leg.scale == "bm25" else dense / others for leg in legs])
    return weights / weights.sum() if weights.sum() > 0 else np.full(len(legs), 1 / len(legs))
