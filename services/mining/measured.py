"""What mining takes, from a short probe: some queries, for exact products on some of the passages."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from services.encoding.shards import ranges
from services.encoding.stand_in import stand_ins
from services.errors import NotFound, Unavailable
from services.mining.exclusion import Exclusion
from services.mining.ranking import Candidates, Ords
from services.mining.retrieve import Target, exact_retriever, open_retriever
from services.mining.runs import Engine

if TYPE_CHECKING:
    from services.jobs.kind import Context

_QUERIES = 256
_SHARDS = 4


@dataclass(frozen=True)
class Probe:
    """Seconds that all queries would take, and on what: a device, or Elasticsearch."""

    seconds: float
    device: str


def probe(context: Context, target: Target, engine: Engine, qords: Ords, depth: int) -> Probe | None:
    """Mine a sample of the queries in this process; None where vectors or an index are missing."""
    try:
        retriever = open_retriever(context, target, engine)
    except (NotFound, Unavailable):
        return None
    sample = qords[np.unique(np.linspace(0, len(qords) - 1, min(_QUERIES, len(qords))).astype(np.int64))]
    searches = excludes = len(qords) / len(sample)
    if engine == "exact":
        shards = ranges(target.collection.passage_count)
        looked_at = shards[:_SHARDS]
        searches *= len(shards) / len(looked_at)
        retriever = exact_retriever(context, target, frozenset(looked_at))
    retriever.search(sample[:1], depth)  # the first time is slower
    start = time.perf_counter()
    lists = retriever.search(sample, depth)
    searched = time.perf_counter()
    candidates = [Candidates(int(qord), *ranked) for qord, ranked in zip(sample, lists, strict=True)]
    for _ in Exclusion(target.collection, keep=False).reasons(candidates):
        pass
    excluded = time.perf_counter()
    return Probe(
        (searched - start) * searches + (excluded - searched) * excludes,
        str(retriever.facts().get("device", "elasticsearch")),
    )


def with_vectors(target: Target) -> Target:
    """The target with stand-ins for vectors that are not made yet: exact products over them take as long."""
    if target.vectors is not None:
        return target
    return replace(target, vectors=stand_ins(target.collection, target.system))
