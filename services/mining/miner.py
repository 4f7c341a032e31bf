"""Mine some queries with one system: keep what an earlier run still knows, ask for the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from services.mining.deepen import deepen
from services.mining.exclusion import Exclusion, rule
from services.mining.knn import recall
from services.mining.ranking import Candidates, Ords, Retriever
from services.mining.refresh import renewed, reusable
from services.mining.retrieve import Target, exact_retriever, on_standing_index
from services.mining.runs import IMPORTED, Engine, Inputs, open_run

if TYPE_CHECKING:
    from services.jobs.kind import Context

_SAMPLE = 200  # queries on which an approximate engine is compared with the exact one


class Miner:
    """One system on one split of one collection state.

    Args:
        context: Store, settings, Elasticsearch, signs of life.
        target: The system and its artefacts.
        inputs: What the run is made from (`inputs_of`).
    """

    def __init__(self, context: Context, target: Target, inputs: Inputs) -> None:
        self._context = context
        self._target = target
        self._inputs = inputs
        if inputs.engine == IMPORTED:
            raise ValueError("an imported run cannot be mined")
        self._engine: Engine = inputs.engine
        self._exclusion = Exclusion(target.collection)

    def mine(self, qords: Ords, *, refresh: bool) -> tuple[list[Candidates], dict[str, Any]]:
        """The candidates of each query, in the order of `qords` (ascending), and facts for the receipt.

        All of one call are from one index, which `source` of the facts names.

        Raises:
            NotFound: what is asked is not there, or was removed meanwhile, and nothing has taken its place.
        """
        return on_standing_index(
            self._context,
            self._target,
            self._engine,
            lambda retriever: self._mine(retriever, qords, refresh),
        )

    def _mine(
        self, retriever: Retriever, qords: Ords, refresh: bool
    ) -> tuple[list[Candidates], dict[str, Any]]:
        lists = self._refreshed(retriever, qords) if refresh else {}
        reused = len(lists)
        rest = np.array([qord for qord in qords if int(qord) not in lists], np.int32)
        short = 0
        for candidates, enough in deepen(
            retriever,
            self._exclusion,
            rest,
            self._inputs.depth,
            lambda done: self._context.checkpoint(reused + done),
        ):
            lists[candidates.qord] = candidates
            short += not (enough or candidates.refused)
        ordered = [lists[int(qord)] for qord in qords]
        return ordered, {
            "candidates": sum(len(candidates.ords) for candidates in ordered),
            "short": short,
            "reused": reused,
            "system_fingerprint": self._target.fingerprint,
            "source": retriever.facts(),
        }

    def _refreshed(self, retriever: Retriever, qords: Ords) -> dict[int, Candidates]:
        collection, facts = self._target.collection, retriever.facts()
        run = open_run(collection, self._inputs.split, self._target.system.name)
        reuse = reusable(run, self._inputs, self._target.shards, facts, collection)
        if reuse is None:
            return {}
        changed: Retriever | None = None
        if reuse.changed:
            changed = exact_retriever(self._context, self._target, reuse.changed)
        return renewed(reuse, changed, self._exclusion, collection.live, qords, self._inputs.depth)


def inputs_of(target: Target, split: str, *, depth: int, engine: Engine, all_queries: bool) -> Inputs:
    """What a run of this system on the present artefacts is made from."""
    state = target.collection.state
    return Inputs(
        collection=state.name,
        collection_version=state.version,
        collection_fingerprint=state.fingerprint,
        passages_fingerprint=state.passages_fingerprint,
        split=split,
        system=target.system.name,
        system_fingerprint=target.fingerprint,
        engine=engine,
        depth=depth,
        all_queries=all_queries,
        exclusion=rule(),
    )


def measured_recall(context: Context, target: Target, qords: Ords, depth: int) -> float:
    """How much of the exact best `depth` Elasticsearch finds, on up to 200 of the queries."""
    places = np.linspace(0, len(qords) - 1, min(_SAMPLE, len(qords))).astype(np.int64)
    exact = exact_retriever(context, target)

    def measured(approximate: Retriever) -> float:
        return recall(approximate, exact, qords[np.unique(places)], min(depth, approximate.limit))

    return on_standing_index(context, target, "es", measured)
