"""Cosines of queries and passages from stored vectors: a named score for filters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from services.mining.ranking import Ords, Scores

if TYPE_CHECKING:
    from services.encoding.vectors import Vectors

_PAIRS = 1 << 14
"""Pairs whose vectors are in memory at a time: 100 MB at 768 dimensions."""


class Cosines:
    """Scores of pairs by a system that compares by cosine; nothing is encoded.

    Args:
        vectors: Of unit length, for the state of the collection that is read.
    """

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def of(self, qords: Ords, ords: Ords) -> Scores:
        """Per pair, its cosine; NaN where a text could not be encoded."""
        found = np.empty(len(ords), np.float32)
        for lo in range(0, len(ords), _PAIRS):
            part = slice(lo, lo + _PAIRS)
            queries, passages = (
                self._vectors.queries.take(qords[part]),
                self._vectors.passages.take(ords[part]),
            )
            found[part] = np.einsum("ij,ij->i", queries, passages)
            found[part][~(queries.any(1) & passages.any(1))] = np.nan
        return found
