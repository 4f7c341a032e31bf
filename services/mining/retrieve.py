"""One entry to every system: what does it return for these queries?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from services.collections.collection import Collection
from services.elastic.provenance import text_fingerprint
from services.elastic.versions import fresh_text_index
from services.encoding.vectors import Vectors, open_vectors
from services.errors import NotFound
from services.mining.bm25 import Bm25Retriever
from services.mining.dense import Blocks, DenseRetriever, compute_device
from services.mining.knn import KnnRetriever, vector_version
from services.mining.ranking import Candidates, Ords, Retriever
from services.mining.runs import Engine, Shard
from services.systems.registry import Registry
from services.systems.system import System

if TYPE_CHECKING:
    from services.jobs.kind import Context


def retrieve(
    context: Context, collection: Collection, system: str, qords: Ords, k: int, engine: Engine = "exact"
) -> Iterator[Candidates]:
    """The best `k` of each query, in the order of `qords`.

    Args:
        context: Store, settings and, where the engine needs it, Elasticsearch.
        collection: The state that is searched.
        system: Name of a system.
        qords: Queries.
        k: Candidates per query; fewer come back where the system has no more.
        engine: `exact` products, or `es` (kNN); bm25 always goes through Elasticsearch.

    Raises:
        NotFound: no such system, or its vectors or index are missing (the hint says how to make them).
        Unavailable: Elasticsearch is needed and does not answer.
    """
    retriever = open_retriever(context, collection, Registry.load(context.store).get(system), engine)
    for start in range(0, len(qords), retriever.batch):
        batch = qords[start : start + retriever.batch]
        for qord, ranked in zip(batch, retriever.search(batch, min(k, retriever.limit)), strict=True):
            yield Candidates(int(qord), *ranked)


def open_retriever(context: Context, collection: Collection, system: System, engine: Engine) -> Retriever:
    """The system, ready to be asked; errors as `retrieve` has them."""
    if not system.is_dense:
        client = context.elastic()
        index = fresh_text_index(client, context.settings, collection)
        if index is None:
            raise NotFound(
                f"no index of collection '{collection.name}' holds its present passages",
                hint=f"msmctl index build --collection {collection.name}",
            )
        return Bm25Retriever(client, index, collection, context.settings.senders)
    vectors = present_vectors(collection, system)
    if engine == "exact":
        return exact_retriever(context, collection, vectors.queries, vectors.passages)
    client = context.elastic()
    found = vector_version(client, context.settings, collection, system.name, vectors.fingerprint)
    if found is None:
        raise NotFound(
            f"no index of collection '{collection.name}' holds the vectors of '{system.name}'",
            hint=f"msmctl index build --collection {collection.name} --system {system.name}",
        )
    version, served = found
    return KnnRetriever(client, version, served, vectors.queries, context.settings.senders)


def exact_retriever(
    context: Context, collection: Collection, queries: Blocks, passages: Blocks
) -> DenseRetriever:
    """Exact products; takes less memory at a time after the chunk ran out of it."""
    settings = context.settings
    return DenseRetriever(
        queries,
        passages,
        collection.live,
        device=compute_device(settings.device),
        memory_mb=max(64, int(settings.memory_mb * context.batch_scale)),
        beat=lambda: context.checkpoint(0),
    )


def present_vectors(collection: Collection, system: System) -> Vectors:
    """The system's vectors of this state of the collection.

    Raises:
        NotFound: they are missing or of another state.
    """
    vectors = open_vectors(collection, system)
    if vectors is None:
        raise NotFound(
            f"collection '{collection.name}' has no fresh vectors of '{system.name}'",
            hint=f"msmctl encode --collection {collection.name} --system {system.name}",
        )
    return vectors


def system_fingerprint(collection: Collection, system: System) -> str:
    """What decides a system's scores: its vectors ("" where missing), or BM25's analysis and parameters."""
    if not system.is_dense:
        return text_fingerprint()
    vectors = open_vectors(collection, system)
    return "" if vectors is None else vectors.fingerprint


def shards_of(collection: Collection, system: System) -> dict[str, list[Shard]]:
    """The shards of a dense system's present vectors, "passages" and "queries"; none for bm25."""
    if not system.is_dense:
        return {}
    vectors = present_vectors(collection, system)
    return {
        "passages": [(part.lo, part.hi, part.sha256) for part in vectors.passages.parts],
        "queries": [(part.lo, part.hi, part.sha256) for part in vectors.queries.parts],
    }
