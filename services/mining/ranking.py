"""What a system returns for a query, and what every retriever can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Ords = npt.NDArray[np.int32]
Scores = npt.NDArray[np.float32]


class Ranked(NamedTuple):
    """One query's ranking: by score descending, ties by ord ascending; the rank is the position plus one.

    `refused` says why the system does not take this query; then there is no candidate.
    """

    ords: Ords
    scores: Scores
    refused: str = ""


@dataclass(frozen=True)
class Candidates:
    """A query's ranking as a system returned it: a prefix of all passages, nothing left out.

    `refused` says why the system does not take this query; then there is no candidate.
    """

    qord: int
    ords: Ords
    scores: Scores
    refused: str = ""

    def cut(self, n: int) -> Candidates:
        """The first `n`."""
        return self if n >= len(self.ords) else Candidates(self.qord, self.ords[:n], self.scores[:n])


class Retriever(Protocol):
    """A system over the live passages of one collection state.

    Attributes:
        limit: The most candidates that may be asked for.
        batch: Queries that one call takes best.
    """

    limit: int
    batch: int

    def search(self, qords: Ords, k: int) -> Sequence[Ranked]:
        """The best `k` of each query, in the order of `qords`; fewer only where the system has no more."""

    def facts(self) -> dict[str, Any]:
        """Where the answers came from (device, index), small JSON for the run's manifest."""


def pair_keys(qords: Ords, ords: Ords) -> npt.NDArray[np.int64]:
    """One integer per (qord, ord) pair that sorts as the pair does."""
    return (np.asarray(qords, np.int64) << 32) | np.asarray(ords, np.int64)
