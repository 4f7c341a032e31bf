"""One entry to every system: what does it return for these queries?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from services.collections.collection import Collection
from services.elastic.provenance import text_fingerprint
from services.elastic.versions import fresh_text_index
from services.encoding.vectors import TermWeights, Vectors, open_rows
from services.errors import InputError, NotFound
from services.mining.blocks import Blocks, R_co
from services.mining.bm25 import Bm25Retriever
from services.mining.knn import KnnRetriever, TermRetriever, vector_version
from services.mining.ranking import Candidates, Ords, Retriever
from services.mining.runs import Engine, Shard
from services.mining.sparse import SparseRetriever
from services.mining.within import Within
from services.systems.registry import Registry
from services.systems.system import System

if TYPE_CHECKING:
    from services.jobs.kind import Context


T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """A system over one state of a collection, with its vectors, or term weights, where they are fresh.

    None for bm25.
    """

    collection: Collection
    system: System
    vectors: Vectors | TermWeights | None

    @classmethod
    def of(cls, collection: Collection, system: System) -> Target:
        """The system's artefacts as they are now."""
        return cls(collection, system, open_rows(collection, system) if system.encodes else None)

    @property
    def fingerprint(self) -> str:
        """What decides the scores: the vectors ("" where missing), or BM25's analysis and parameters."""
        if not self.system.encodes:
            return text_fingerprint()
        return self.vectors.fingerprint if self.vectors else ""

    @property
    def present(self) -> Vectors | TermWeights:
        """The vectors.

        Raises:
            NotFound: they are missing or of another state.
        """
        if self.vectors is None:
            name, system = self.collection.name, self.system.name
            raise NotFound(
                f"collection '{name}' has no fresh vectors of '{system}'",
                hint=f"msmctl encode --collection {name} --system {system}",
            )
        return self.vectors

    @property
    def shards(self) -> dict[str, list[Shard]]:
        """The shards of the vectors, "passages" and "queries"; none without vectors."""
        if self.vectors is None:
            return {}
        tables = {"passages": self.vectors.passages, "queries": self.vectors.queries}
        return {
            name: [(part.lo, part.hi, part.sha256) for part in table.parts] for name, table in tables.items()
        }


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
        engine: `exact` products, or `es` (kNN, term weights); bm25 always goes through Elasticsearch.

    Raises:
        NotFound: no such system, or its vectors or index are missing (the hint says how to make them).
        InputError: the system does not take one of the queries.
        Unavailable: Elasticsearch is needed and does not answer.
    """
    target = Target.of(collection, Registry.load(context.store).retrieving(system))
    retriever = open_retriever(context, target, engine)
    for start in range(0, len(qords), retriever.batch):
        batch = qords[start : start + retriever.batch]
        for qord, ranked in zip(batch, retriever.search(batch, min(k, retriever.limit)), strict=True):
            if ranked.refused:  # to leave it out, or to count it as having found nothing, would change a mean
                raise InputError(
                    f"query '{collection.qids[int(qord)]}': {ranked.refused}",
                    hint=f"shorten it with `msmctl collection update {collection.name} --queries SPLIT=FILE`",
                )
            yield Candidates(int(qord), *ranked)


def open_retriever(context: Context, target: Target, engine: Engine) -> Retriever:
    """The system, ready to be asked; errors as `retrieve` has them."""
    collection, system, settings = target.collection, target.system, context.settings
    if not system.encodes:
        client = context.elastic()
        index = fresh_text_index(client, settings, collection)
        if index is None:
            raise NotFound(
                f"no index of collection '{collection.name}' holds its present passages",
                hint=f"msmctl index build --collection {collection.name}",
            )
        return Bm25Retriever(client, index, collection, settings.senders)
    vectors = target.present
    if engine == "exact":
        return exact_retriever(context, target)
    client = context.elastic()
    found = vector_version(client, settings, collection, system.name, vectors.fingerprint)
    if found is None:
        raise NotFound(
            f"no index of collection '{collection.name}' holds the present vectors of '{system.name}'",
            hint=f"msmctl index build --collection {collection.name} --system {system.name}",
        )
    if isinstance(vectors, TermWeights):
        return TermRetriever(client, *found, vectors.queries, settings.senders)
    return KnnRetriever(client, *found, vectors.queries, settings.senders)


def on_standing_index(context: Context, target: Target, engine: Engine, ask: Callable[[Retriever], T]) -> T:
    """Ask a system; once more, from the start, when its index version was removed meanwhile.

    A build removes old versions while others may be reading them; what it serves has taken their place.
    """
    try:
        return ask(open_retriever(context, target, engine))
    except NotFound as error:
        context.log(f"asked anew: {error.message}")
        return ask(open_retriever(context, target, engine))


def exact_retriever(
    context: Context, target: Target, within: frozenset[tuple[int, int]] | None = None
) -> Retriever:
    """Exact products with all passages, or with the shards of some ranges.

    Takes less memory at a time after the chunk ran out of it.

    Raises:
        NotFound: there are no fresh vectors.
    """
    settings, live = context.settings, target.collection.live
    memory_mb = max(64, int(settings.memory_mb * context.batch_scale))
    found = target.present
    if isinstance(found, TermWeights):
        return SparseRetriever(
            found.queries,
            _some(found.passages, within),
            live,
            memory_mb=memory_mb,
            beat=lambda: context.checkpoint(0),
        )
    # Here: torch takes seconds to load, and whoever only plans or awaits such a job needs none of it.
    from services.mining.dense import DenseRetriever, compute_device

    return DenseRetriever(
        found.queries,
        _some(found.passages, within),
        live,
        device=compute_device(settings.device),
        memory_mb=memory_mb,
        beat=lambda: context.checkpoint(0),
    )


def _some(table: Blocks[R_co], within: frozenset[tuple[int, int]] | None) -> Blocks[R_co]:
    return table if within is None else Within(table, within)
