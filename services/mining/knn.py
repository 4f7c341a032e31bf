"""Dense retrieval through Elasticsearch's kNN (`--engine es`): approximate; its recall is measured and recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from services.elastic.msearch import MAX_DEPTH, search
from services.mining.dense import Blocks
from services.mining.ranking import Ords, Ranked, Retriever

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

_OVERSAMPLE = 2
_LEAST_CANDIDATES = 100


class KnnRetriever:
    """kNN on one index that holds the system's vectors.

    Args:
        client: Elasticsearch.
        index: Concrete name of the passages index.
        field: Its vector field.
        queries: Query vectors by qord.
        senders: Parallel requests.
    """

    limit = MAX_DEPTH
    batch = 400

    def __init__(self, client: Elasticsearch, index: str, field: str, queries: Blocks, senders: int) -> None:
        self._client = client
        self._index = index
        self._field = field
        self._queries = queries
        self._senders = senders

    def search(self, qords: Ords, k: int) -> Sequence[Ranked]:
        """The best `k` of each query, of twice as many looked at (at least 100, at most 10,000)."""
        candidates = min(max(_OVERSAMPLE * k, _LEAST_CANDIDATES), MAX_DEPTH)
        bodies = [{"knn": {"field": self._field, "query_vector": vector.tolist(), "k": k, "num_candidates": candidates},
                   "size": k, "track_total_hits": False, "_source": False,
                   "stored_fields": "_none_", "docvalue_fields": ["ord"]} for vector in self._queries.take(qords)]
        return [Ranked(*hits) for hits in search(self._client, self._index, bodies, k, self._senders)]

    def facts(self) -> dict[str, Any]:
        """The index asked."""
        return {"index": self._index}


def recall(approximate: Retriever, exact: Retriever, qords: Ords, k: int) -> float:
    """The share of the exact best `k` that the approximate best `k` hold, averaged over queries."""
    return float(np.mean(list(_shares(approximate, exact, qords, k)))) if len(qords) else 1.0


def _shares(approximate: Retriever, exact: Retriever, qords: Ords, k: int) -> Iterator[float]:
    for found, true in zip(approximate.search(qords, k), exact.search(qords, k), strict=True):
        yield len(np.intersect1d(found.ords, true.ords)) / max(1, len(true.ords))
