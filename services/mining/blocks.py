"""Vectors or term weights by position, a block at a time: what exact products read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from services.mining.ranking import Ords

Floats = npt.NDArray[np.float32]
Block = tuple[int, int, Floats]
R_co = TypeVar("R_co", covariant=True)


class Blocks(Protocol[R_co]):
    """Vectors (float32 [rows, dim]), or term weights, by position."""

    def blocks(self) -> Iterable[tuple[int, int, R_co]]:
        """`(lo, hi, rows)` in ascending order."""

    def take(self, positions: Ords) -> R_co:
        """Some rows, in the order given."""
