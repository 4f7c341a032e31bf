"""`hybrid` and `hybrid+rerank[:MODEL]`: the very search that serves, asked every query of a split."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from services.collections.collection import Collection, Ords
from services.deadline import Deadline
from services.elastic.mapping import ServedSystem
from services.encoding.vectors import open_vectors, open_weights
from services.encoding.weights import Weights
from services.errors import MsmError
from services.inference.models import Floats, Models
from services.jobs.kind import Context
from services.mining.ranking import Candidates
from services.search.opened import blocking
from services.search.request import RerankSpec, SearchRequest
from services.systems.registry import Registry

_NAME = re.compile(r"hybrid(?P<rerank>\+rerank(?::(?P<model>.+))?)?")
_BATCH, _RERANKED_BATCH = 256, 16
"""Questions at a time: many to Elasticsearch, few where each takes a model a while."""


def is_search(name: str) -> bool:
    """Whether a name means a search, not a system."""
    return _NAME.fullmatch(name) is not None


def is_reranked(name: str) -> bool:
    """Whether it means a search that a cross-encoder has the last word in."""
    found = _NAME.fullmatch(name)
    return found is not None and found["rerank"] is not None


def searched(
    context: Context, collection: Collection, name: str, qords: Ords, depth: int
) -> Iterator[Candidates]:
    """What a search returns for queries, `depth` deep, in the order of `qords`.

    Query vectors are read from the store where they are those of the served index, else made by its models.
    There is no deadline.

    Raises:
        MsmError: an answer is not whole: what is measured is what serves, not what it falls back to.
    """
    found = _NAME.fullmatch(name)
    rerank = RerankSpec(model=found["model"]) if found and found["rerank"] else None
    request = SearchRequest(rerank=rerank)
    texts = collection.read_queries(0, collection.state.query_count, ["text"])["text"]
    with blocking(context.settings, context.store) as (runner, engine):
        version = runner.run(engine.served.of(collection.name, Deadline()))
        ask = replace(runner.run(engine.resolved(request, version, Deadline())), size=depth)
        size = _RERANKED_BATCH if rerank else _BATCH
        for lo in range(0, len(qords), size):
            batch = qords[lo : lo + size]
            asked = texts.take(pa.array(batch)).to_pylist()
            models = StoredQueries(context, collection, batch, asked, engine.models)
            answers = runner.run(replace(engine, models=models).rank_many(ask, asked))
            for qord, answer in zip(batch.tolist(), answers, strict=True):
                if answer.degraded:
                    raise MsmError(
                        f"{name}: the answer to query {qord} is not whole: {'; '.join(answer.notes)}",
                        hint="mend that, or measure without it",
                    )
                yield Candidates(qord, answer.ords, answer.scores.astype(np.float32))


@dataclass(frozen=True)
class StoredQueries:
    """Query vectors from the store: the same that an encoder would give, without loading one.

    Attributes:
        context: Where the store is.
        collection: Whose queries.
        qords: Of the texts.
        texts: What is asked.
        others: Who encodes what is not stored, and reranks.
    """

    context: Context
    collection: Collection
    qords: Ords
    texts: Sequence[str]
    others: Models

    async def embed(self, system: ServedSystem, texts: Sequence[str], deadline: Deadline) -> Floats:
        """See `Models`."""
        known = Registry.load(self.context.store).get(system.name)
        vectors = open_vectors(self.collection, known) if known.is_dense else None
        if vectors is None or vectors.fingerprint != system.fingerprint:
            return await self.others.embed(system, texts, deadline)
        return vectors.queries.take(self._places(texts))

    async def weigh(self, system: ServedSystem, texts: Sequence[str], deadline: Deadline) -> Weights:
        """See `Models`."""
        known = Registry.load(self.context.store).get(system.name)
        found = open_weights(self.collection, known) if known.kind == "sparse" else None
        if found is None or found.fingerprint != system.fingerprint:
            return await self.others.weigh(system, texts, deadline)
        return found.queries.take(self._places(texts))

    async def rerank(self, model: str, query: str, texts: Sequence[str], deadline: Deadline) -> Floats:
        """See `Models`."""
        return await self.others.rerank(model, query, texts, deadline)

    def _places(self, texts: Sequence[str]) -> Ords:
        row = dict(zip(self.texts, self.qords.tolist(), strict=True))
        return np.array([row[text] for text in texts], np.int32)
