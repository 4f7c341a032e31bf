"""Retrieval by vectors or term weights through Elasticsearch (`--engine es`); its recall is measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic

import numpy as np

from services.collections.collection import Collection
from services.elastic import knn, sparse
from services.elastic.errors import TooManyTerms
from services.elastic.msearch import MAX_DEPTH
from services.elastic.versions import Version, versions
from services.encoding.weights import Weights
from services.mining.blocks import Blocks, Floats, R_co
from services.mining.ranking import Ords, Ranked, Retriever

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from services.elastic.mapping import ServedSystem
    from services.settings import Settings


class _OfVersion(Generic[R_co]):
    """A system on one index version that holds what it makes of passages.

    Args:
        client: Elasticsearch.
        version: The index version.
        system: The system as that version serves it.
        queries: What it makes of queries, by qord.
        senders: Parallel requests.
    """

    limit = MAX_DEPTH
    batch = 400

    def __init__(
        self,
        client: Elasticsearch,
        version: Version,
        system: ServedSystem,
        queries: Blocks[R_co],
        senders: int,
    ) -> None:
        self._client = client
        self._version = version
        self._system = system
        self._queries = queries
        self._senders = senders


class KnnRetriever(_OfVersion[Floats]):
    """kNN with query vectors."""

    def search(self, qords: Ords, k: int) -> Sequence[Ranked]:
        """The (nearly) best `k` of each query."""
        found = knn.search(
            self._client,
            self._version.passages,
            self._system,
            self._version.meta.vector_index,
            self._queries.take(qords),
            k,
            self._senders,
        )
        return [Ranked(*hits) for hits in found]

    def facts(self) -> dict[str, Any]:
        """The index asked."""
        return {"index": self._version.passages, "vector_index": self._version.meta.vector_index}


class TermRetriever(_OfVersion[Weights]):
    """Dot products with query weights."""

    def search(self, qords: Ords, k: int) -> Sequence[Ranked]:
        """The best `k` of each query, as far as Elasticsearch's rounding of weights keeps them apart."""
        index, weights = self._version.passages, self._queries.take(qords)
        found = sparse.search(self._client, index, self._system, weights, k, self._senders)
        return [
            Ranked(np.empty(0, np.int32), np.empty(0, np.float32), hits.message)
            if isinstance(hits, TooManyTerms)
            else Ranked(*hits)
            for hits in found
        ]

    def facts(self) -> dict[str, Any]:
        """The index asked."""
        return {"index": self._version.passages}


def vector_version(
    client: Elasticsearch, settings: Settings, collection: Collection, system: str, vectors: str
) -> tuple[Version, ServedSystem] | None:
    """The index version that holds a system's vectors of this collection state, the served one before others.

    Args:
        client: Elasticsearch.
        settings: The prefix counts.
        collection: The state.
        system: Name of the system.
        vectors: Fingerprint that the vectors must have.
    """
    usable = [
        (version, served)
        for version in versions(client, settings, collection.name)
        if version.meta.state == "complete"
        and version.meta.passages_fingerprint == collection.state.passages_fingerprint
        for served in version.meta.systems.values()
        if served.name == system and served.fingerprint == vectors
    ]
    return max(usable, key=lambda pair: (pair[0].served, pair[0].n), default=None)


def recall(approximate: Retriever, exact: Retriever, qords: Ords, k: int) -> float:
    """The share of the exact best `k` that the approximate best `k` hold, averaged over queries."""
    pairs = zip(approximate.search(qords, k), exact.search(qords, k), strict=True)
    shares = [len(np.intersect1d(found.ords, true.ords)) / max(1, len(true.ords)) for found, true in pairs]
    return float(np.mean(shares)) if shares else 1.0
