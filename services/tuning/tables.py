"""The candidates of a split's queries, with every leg's true score: asked once, fused in many ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa

from services.collections.collection import Collection, Ords
from services.deadline import Deadline
from services.errors import MsmError, NotFound
from services.evaluation.searched import StoredQueries
from services.jobs.kind import Context
from services.search.fusion import Candidates
from services.search.fusion.surprisal import Surprisal
from services.search.opened import blocking
from services.search.request import SearchRequest

_BATCH = 256
"""Questions at a time."""


def tables(
    context: Context, collection: Collection, qords: Ords, advance: Callable[[int], None]
) -> list[Candidates]:
    """The candidates of queries, in their order, by the very legs that serve.

    Args:
        context: Where store and Elasticsearch are.
        collection: Whose queries.
        qords: Which.
        advance: Called with the number of queries that are done.

    Raises:
        NotFound: no version of the index is served, or it serves BM25 alone.
        MsmError: an answer is not whole.
    """
    texts = collection.read_queries(0, collection.state.query_count, ["text"])["text"]
    request = SearchRequest(mode="hybrid", fusion=Surprisal.name)
    found: list[Candidates] = []
    with blocking(context.settings, context.store) as (runner, engine):
        version = runner.run(engine.served.of(collection.name, Deadline()))
        ask = runner.run(engine.resolved(request, version, Deadline()))
        if len(ask.legs) < 2:
            raise NotFound(
                f"{version.passages} serves BM25 alone: there is nothing to fuse",
                hint=f"`msmctl index build --collection {collection.name} --system SYSTEM` adds one",
            )
        for lo in range(0, len(qords), _BATCH):
            batch = qords[lo : lo + _BATCH]
            asked = texts.take(pa.array(batch)).to_pylist()
            models = StoredQueries(context, collection, batch, asked, engine.models)
            for qord, answer in zip(
                batch.tolist(), runner.run(replace(engine, models=models).rank_many(ask, asked)), strict=True
            ):
                if answer.degraded:
                    raise MsmError(
                        f"the answer to query {qord} is not whole: {'; '.join(answer.notes)}",
                        hint="mend that, then tune again",
                    )
                found.append(answer.fused.candidates)
            advance(len(batch))
    return found
