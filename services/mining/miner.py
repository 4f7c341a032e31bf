"""Mine some queries with one system: keep what an earlier run still knows, ask for the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from services.collections.collection import Collection, Ords
from services.mining.deepen import deepen
from services.mining.exclusion import Exclusion, rule
from services.mining.knn import recall
from services.mining.ranking import Candidates, Retriever
from services.mining.refresh import Within, renewed, reusable
from services.mining.retrieve import (
    exact_retriever,
    open_retriever,
    present_vectors,
    shards_of,
    system_fingerprint,
)
from services.mining.runs import Engine, Inputs, open_run
from services.systems.system import System

if TYPE_CHECKING:
    from services.jobs.kind import Context

_SAMPLE = 200  # queries on which an approximate engine is compared with the exact one


class Miner:
    """One system on one split of one collection state.

    Args:
        context: Store, settings, Elasticsearch, signs of life.
        collection: The state to mine.
        system: The system.
        inputs: What the run is made from (`inputs_of`).
    """

    def __init__(self, context: Context, collection: Collection, system: System, inputs: Inputs) -> None:
        self._context = context
        self._collection = collection
        self._system = system
        self._inputs = inputs
        self._retriever = open_retriever(context, collection, system, inputs.engine)
        self._exclusion = Exclusion(collection)

    def mine(self, qords: Ords, *, refresh: bool) -> tuple[list[Candidates], dict[str, Any]]:
        """The candidates of each query, in the order of `qords` (ascending), and facts for the receipt."""
        lists = self._refreshed(qords) if refresh else {}
        reused = len(lists)
        rest = np.array([qord for qord in qords if int(qord) not in lists], np.int32)
        short = 0
        for candidates, enough in deepen(
            self._retriever,
            self._exclusion,
            rest,
            self._inputs.depth,
            lambda done: self._context.checkpoint(reused + done),
        ):
            lists[candidates.qord] = candidates
            short += not enough
        ordered = [lists[int(qord)] for qord in qords]
        return ordered, {
            "candidates": sum(len(candidates.ords) for candidates in ordered),
            "short": short,
            "reused": reused,
            "system_fingerprint": system_fingerprint(self._collection, self._system),
            "source": self._retriever.facts(),
        }

    def _refreshed(self, qords: Ords) -> dict[int, Candidates]:
        run = open_run(self._collection, self._inputs.split, self._system.name)
        shards = shards_of(self._collection, self._system)
        reuse = reusable(run, self._inputs, shards, self._retriever.facts(), self._collection)
        if reuse is None:
            return {}
        changed: Retriever | None = None
        if reuse.changed:
            vectors = present_vectors(self._collection, self._system)
            changed = exact_retriever(
                self._context, self._collection, vectors.queries, Within(vectors.passages, reuse.changed)
            )
        return renewed(reuse, changed, self._exclusion, self._collection.live, qords, self._inputs.depth)


def inputs_of(
    collection: Collection, system: System, split: str, *, depth: int, engine: Engine, all_queries: bool
) -> Inputs:
    """What a run of this system on the present artefacts is made from."""
    state = collection.state
    return Inputs(
        collection=state.name,
        collection_version=state.version,
        collection_fingerprint=state.fingerprint,
        passages_fingerprint=state.passages_fingerprint,
        split=split,
        system=system.name,
        system_fingerprint=system_fingerprint(collection, system),
        engine=engine,
        depth=depth,
        all_queries=all_queries,
        exclusion=rule(),
    )


def measured_recall(
    context: Context, collection: Collection, system: System, qords: Ords, depth: int
) -> float:
    """How much of the exact best `depth` the kNN through Elasticsearch finds, on up to 200 of the queries."""
    sample = qords[np.unique(np.linspace(0, len(qords) - 1, min(_SAMPLE, len(qords))).astype(np.int64))]
    approximate = open_retriever(context, collection, system, "es")
    vectors = present_vectors(collection, system)
    exact = exact_retriever(context, collection, vectors.queries, vectors.passages)
    return recall(approximate, exact, sample, depth)
