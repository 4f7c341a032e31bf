"""From runs to negatives: several systems' runs read side by side, exclusion and depth applied."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from services.collections.collection import Collection, Ords, state_key
from services.errors import NotFound, UsageError
from services.exports.format import Id, QueryNegatives
from services.mining.exclusion import Exclusion, Judgements, Reason
from services.mining.runs import Run, open_run
from services.systems.registry import Registry
from services.systems.system import System

BLOCK = 2048
"""Queries that are read and written together."""


@dataclass(frozen=True)
class SystemRun:
    """A system with its current run and the depth to which its negatives are taken."""

    system: System
    run: Run
    depth: int

    def command(self, depth: int | None = None) -> str:
        """What mines the run again with all that it was asked for, or to another depth."""
        inputs = self.run.manifest.inputs
        words = [
            f"msmctl mine --collection {inputs.collection} --split {inputs.split}",
            f"--system {self.system.name} --depth {depth or inputs.depth}",
        ]
        if self.system.is_dense and inputs.engine == "es":
            words.append("--engine es")
        if inputs.all_queries:
            words.append("--all-queries")
        return " ".join(words)


class Negatives:
    """The negatives of a split, block by block, in order of qord.

    Args:
        collection: Its present state: judgements, texts and tombstones count as they are now.
        split: Split of the queries.
        runs: The systems, in registry order.
        all_queries: Also queries without a positive, with `pos: []`.
    """

    def __init__(
        self, collection: Collection, split: str, runs: list[SystemRun], *, all_queries: bool
    ) -> None:
        self._collection = collection
        self._runs = runs
        self.qords = collection.split_qords(split, judged_only=not all_queries)
        self._positives = Judgements(collection, [split])
        self._exclusion = Exclusion(collection)

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return -(-len(self.qords) // BLOCK)

    def block(self, n: int) -> list[QueryNegatives]:
        """The queries of block `n`."""
        qords = self.qords[n * BLOCK : (n + 1) * BLOCK]
        positives = [self._positives.of(int(qord))[0] for qord in qords]
        negatives = self._negatives(qords)
        ids = self._ids([*positives, *(ords for system in negatives.values() for ords in system)])
        return [
            QueryNegatives(
                self._qids[int(qord)],
                [ids[ord_] for ord_ in positives[row].tolist()],
                {key: [ids[ord_] for ord_ in system[row].tolist()] for key, system in negatives.items()},
            )
            for row, qord in enumerate(qords)
        ]

    def _negatives(self, qords: Ords) -> dict[str, list[Ords]]:
        """By key of the system: the surviving ords of each query, best first, cut at the depth."""
        lists = [list(chosen.run.of(qords)) for chosen in self._runs]
        # Query by query, as the systems' candidates for a query are largely the same passages.
        reasons = self._exclusion.reasons(system[row] for row in range(len(qords)) for system in lists)
        kept: dict[str, list[Ords]] = {chosen.system.reference_key: [] for chosen in self._runs}
        for row in range(len(qords)):
            for chosen, system in zip(self._runs, lists, strict=True):
                survivors = system[row].ords[next(reasons) == Reason.KEPT]
                kept[chosen.system.reference_key].append(survivors[: chosen.depth])
        return kept

    def _ids(self, lists: list[Ords]) -> dict[int, Id]:
        ords = np.unique(np.concatenate([np.empty(0, np.int32), *lists]))
        pids = self._collection.pids_of(ords)
        return dict(
            zip(ords.tolist(), map(int, pids) if self._collection.state.integer_ids else pids, strict=True)
        )

    @cached_property
    def _qids(self) -> list[Id]:
        qids = self._collection.qids
        return [int(qid) for qid in qids] if self._collection.state.integer_ids else list(qids)


def absent_queries(chosen: SystemRun, collection: Collection, qords: Ords) -> int:
    """How many of these queries the run does not cover, as they came or were judged after it was mined.

    0 where the state it was mined from is gone, so that this cannot be known.
    """
    inputs = chosen.run.manifest.inputs
    if not collection.store.exists(state_key(inputs.collection, inputs.collection_version)):
        return 0
    mined = Collection.open(collection.store, inputs.collection, inputs.collection_version)
    if mined.state.fingerprint != inputs.collection_fingerprint:  # another one under the same name
        return 0
    covered = mined.split_qords(inputs.split, judged_only=not inputs.all_queries)
    return len(np.setdiff1d(qords, covered))


def choose_runs(collection: Collection, split: str, names: list[str], depth: int | None) -> list[SystemRun]:
    """The current runs of some systems (default: of all that have one) in registry order.

    Args:
        collection: The present state.
        split: Split of the queries.
        names: Systems, in any spelling; empty: all that were mined.
        depth: Negatives per system; None: as deep as each run was mined.

    Raises:
        NotFound: the split, a system, or its run is missing.
        UsageError: a run was not mined as deep as asked.
    """
    collection.split_members(split)
    registry = Registry.load(collection.store)
    chosen_by_name = {system.name: system for system in map(registry.get, names)}
    wanted = list(chosen_by_name.values()) or list(registry)
    found = {system.name: open_run(collection, split, system.name) for system in wanted}
    missing = [name for name, run in found.items() if run is None]
    there = f"--collection {collection.name} --split {split}"
    if len(missing) == len(found) or (names and missing):
        what = ", ".join(missing) if names else "any system"
        raise NotFound(
            f"split '{split}' of collection '{collection.name}' has not been mined with {what}",
            hint=f"msmctl mine {there} --system {','.join(missing) if names else 'bm25'}",
        )
    chosen = []
    for system in sorted(wanted, key=lambda system: system.order):
        run = found[system.name]
        if run is None:
            continue
        mined = run.manifest.inputs.depth
        one = SystemRun(system, run, depth or mined)
        if one.depth > mined:
            raise UsageError(
                f"'{system.name}' was mined to depth {mined}, not {depth}", hint=one.command(depth)
            )
        chosen.append(one)
    return chosen
