"""Exact retrieval by term weights: sparse products, shard by shard, with a running top-k.

A pair's score is summed over the query's terms in ascending order, so that it is the same bits however
the work is cut. A passage that shares no term with the query is no candidate, as with BM25.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from services.encoding.shards import SHARD_ROWS
from services.encoding.weights import Weights
from services.errors import MsmError
from services.mining.blocks import Blocks
from services.mining.ranking import Ords, Ranked

_BATCH = 1024
_PAIR = 24
"""Bytes that a query and a passage with a common term take in a product, about."""
_NONE = Ranked(np.empty(0, np.int32), np.empty(0, np.float32))


class SparseRetriever:
    """All live passages that share a term with a query, ranked by the dot product of their weights.

    Args:
        queries: Query weights by qord.
        passages: Passage weights by ord.
        live: bool [passages], False for tombstones, which are never returned.
        memory_mb: What one product may take, in MiB.
        beat: Called between shards, so that a long pass shows life and can be stopped.
    """

    def __init__(
        self,
        queries: Blocks[Weights],
        passages: Blocks[Weights],
        live: npt.NDArray[np.bool_],
        *,
        memory_mb: int = 512,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self.batch = min(_BATCH, max(1, (memory_mb << 20) // (SHARD_ROWS * _PAIR)))
        self._queries = queries
        self._passages = passages
        self._live = live
        self._beat = beat
        self.limit = int(live.sum())

    def search(self, qords: Ords, k: int) -> Sequence[Ranked]:
        """The best `k` of each query; fewer where fewer passages share a term with it."""
        results: list[Ranked] = []
        for start in range(0, len(qords), self.batch):
            asked = self._queries.take(qords[start : start + self.batch])
            results += top_k(asked, self._passages, self._live, min(k, self.limit), self._beat)
        return results

    def facts(self) -> dict[str, Any]:
        """The device kind."""
        return {"device": "cpu"}


def top_k(
    queries: Weights,
    passages: Blocks[Weights],
    live: npt.NDArray[np.bool_],
    k: int,
    beat: Callable[[], None] = lambda: None,
) -> list[Ranked]:
    """The best `k` live passages of each query. Arguments as of `SparseRetriever`.

    Raises:
        MsmError: a weight is NaN or infinite.
    """
    best = [_NONE] * len(queries)
    left = _matrix(queries)
    for lo, hi, block in passages.blocks():
        if not block.finite.all():
            raise MsmError(
                f"a weight of passage {lo + int(block.finite.argmin())} is NaN or infinite",
                hint="`msmctl encode --force` makes it anew; check the model",
            )
        scores = left @ _matrix(block).T
        scores = csr_array(scores)
        for n in range(len(queries)):
            row = slice(scores.indptr[n], scores.indptr[n + 1])
            columns, values = scores.indices[row], scores.data[row]
            counts = live[lo:hi][columns] & (values > 0)
            best[n] = _better(best[n], (columns[counts] + lo).astype(np.int32), values[counts], k)
        beat()
    return best


def _better(known: Ranked, ords: Ords, scores: npt.NDArray[np.float32], k: int) -> Ranked:
    """The best `k` of those known and of further ones."""
    if not len(ords):
        return known
    ords, scores = np.concatenate([known.ords, ords]), np.concatenate([known.scores, scores])
    if len(ords) > k:  # those below the k-th best score need no sorting
        enough = np.partition(scores, len(scores) - k)[len(scores) - k] if k else np.inf
        ords, scores = ords[scores >= enough], scores[scores >= enough]
    order = np.lexsort((ords, -scores))[:k]
    return Ranked(ords[order], scores[order])


def _matrix(rows: Weights) -> csr_array:
    return csr_array((rows.values, rows.terms, rows.starts), shape=(len(rows), rows.dim))
