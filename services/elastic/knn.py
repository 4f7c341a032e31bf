"""kNN on the vectors of a version: trimmed `_msearch`, scores turned back into the similarity itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from elasticsearch import Elasticsearch
from elasticsearch.helpers import pack_dense_vector

from services.elastic import msearch
from services.elastic.mapping import ServedSystem, VectorIndex
from services.elastic.msearch import Hits

Floats = npt.NDArray[np.float32]

CANDIDATES = 200
"""Candidates that the graph search keeps per shard, at least; twice k beyond that, 10,000 at most."""
_OVERSAMPLE = {"int8_hnsw": 1.5, "bbq_hnsw": 3.0}
_RESCORED = 100


def search(
    client: Elasticsearch,
    index: str,
    system: ServedSystem,
    vector_index: VectorIndex,
    vectors: Floats,
    k: int,
    senders: int,
) -> list[Hits]:
    """The (nearly) k nearest passages of each query vector.

    Args:
        client: From `services.elastic.client.connect`.
        index: Concrete name of a passages index that holds the system's vectors.
        system: Whose vectors; its similarity decides.
        vector_index: How the index holds them.
        vectors: float32 [n, dims].
        k: Hits per vector, at most 10,000.
        senders: Parallel requests.

    Returns:
        Per vector: ords int32, scores float32 (cosine or dot product), sorted by (-score, ord).
    """
    bodies = [msearch.trimmed({"knn": clause(system, vector_index, vector, k)}, k) for vector in vectors]
    hits = msearch.search(client, index, bodies, k, senders)
    return [(ords, similarity(system, scores)) for ords, scores in hits]


def clause(
    system: ServedSystem,
    vector_index: VectorIndex,
    vector: Floats,
    k: int,
    filters: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """The `knn` query for a vector. Filters apply before the search: k hits all pass them."""
    return by(system, vector_index, given(vector), k, filters)


def given(vector: Floats) -> dict[str, Any]:
    """A query vector as it is sent, float32 [dims]."""
    return {"query_vector": pack_dense_vector(np.ascontiguousarray(vector))}


def stored(system: ServedSystem, index: str, qid: str) -> dict[str, Any]:
    """The vector of a stored query, which Elasticsearch looks up itself."""
    lookup = {"index": index, "id": qid, "path": system.field}
    return {"query_vector_builder": {"lookup": lookup}}


def by(
    system: ServedSystem,
    vector_index: VectorIndex,
    vector: dict[str, Any],
    k: int,
    filters: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """As `clause`, by a vector that is `given` or `stored`."""
    body: dict[str, Any] = {
        "field": system.field,
        **vector,
        "k": k,
        "num_candidates": num_candidates(k),
    }
    factor = oversample(vector_index, k)
    if factor is not None:
        body["rescore_vector"] = {"oversample": factor}
    if filters:
        body["filter"] = list(filters)
    return body


def num_candidates(k: int) -> int:
    """Candidates that the graph search keeps for k hits."""
    return min(10_000, max(CANDIDATES, 2 * k))


def oversample(vector_index: VectorIndex, k: int) -> float | None:
    """How many times k a quantised index scores again, 100 hits at least; None: not quantised."""
    factor = _OVERSAMPLE.get(vector_index)
    return None if factor is None else max(factor, _RESCORED / k)


def similarity(system: ServedSystem, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What Elasticsearch made its `_score` of: it shifts similarities so that none is negative.

    Source: `dense_vector`, parameter `similarity` of the Elasticsearch reference.
    """
    score = scores.astype(np.float64)
    if system.similarity == "cosine":
        value = 2 * score - 1
    else:
        value = np.where(score >= 1, score - 1, 1 - 1 / np.maximum(score, np.finfo(np.float32).tiny))
    return value.astype(np.float32)
