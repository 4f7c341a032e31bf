"""Where computed rows are put: blocks come in order of their lengths, each row goes to its text's place."""

from __future__ import annotations

from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from services.encoding.weights import Weights

Floats = npt.NDArray[np.float32]
Positions = npt.NDArray[np.int64]
R = TypeVar("R")

NO_NUMBER = "the model's output is not a number"
MOST_TERMS = 4_096
"""Of a text, beyond which nothing is kept: trained sparse encoders give some hundred."""


class Gathering(Protocol[R]):
    """Rows of a known number of texts. Those that never come are empty: zeros, or no term."""

    def put(self, positions: Positions, rows: R) -> dict[int, str]:
        """Take rows in; those behind `positions` fill a block up and do not count.

        Returns:
            Why some are not taken, by position.
        """

    def result(self) -> R:
        """All rows, in order of the texts."""


class DenseGathering:
    """Of vectors, float32 [count, dim]."""

    def __init__(self, count: int, dim: int) -> None:
        self._rows = np.zeros((count, dim), np.float32)

    def put(self, positions: Positions, rows: Floats) -> dict[int, str]:
        """See `Gathering`."""
        rows = rows[: len(positions)]
        finite = np.isfinite(rows).all(axis=1)
        self._rows[positions[finite]] = rows[finite]
        return dict.fromkeys(positions[~finite].tolist(), NO_NUMBER)

    def result(self) -> Floats:
        """See `Gathering`."""
        return self._rows


class SparseGathering:
    """Of term weights."""

    def __init__(self, count: int, dim: int) -> None:
        self._count = count
        self._dim = dim
        self._positions: list[Positions] = []
        self._rows: list[Weights] = []

    def put(self, positions: Positions, rows: Weights) -> dict[int, str]:
        """See `Gathering`."""
        rows = rows.part(0, len(positions))
        finite, few = rows.finite, rows.lengths <= MOST_TERMS
        good = np.flatnonzero(finite & few)
        self._positions.append(positions[good])
        self._rows.append(rows.take(good))
        many = {
            position: f"{length:,} terms, more than {MOST_TERMS:,}: was the model trained to give few?"
            for position, length in zip(positions[~few].tolist(), rows.lengths[~few].tolist(), strict=True)
        }
        return many | dict.fromkeys(positions[~finite].tolist(), NO_NUMBER)

    def result(self) -> Weights:
        """See `Gathering`."""
        came = np.concatenate([np.empty(0, np.int64), *self._positions])
        absent = np.setdiff1d(np.arange(self._count), came)
        nothing = Weights(np.zeros(len(absent) + 1, np.int64), *_no_terms(), self._dim)
        order = np.empty(self._count, np.int64)
        order[np.concatenate([came, absent])] = np.arange(self._count)
        return Weights.joined([*self._rows, nothing], self._dim).take(order)


def _no_terms() -> tuple[npt.NDArray[np.int32], Floats]:
    return np.empty(0, np.int32), np.empty(0, np.float32)
