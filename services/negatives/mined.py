"""Which runs candidates are read from: those of the systems asked for, as deep as asked, old ones told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.collections.collection import Collection, Ords, state_key
from services.errors import NotFound, UsageError
from services.mining.runs import IMPORTED, Run, open_run
from services.systems.registry import Registry
from services.systems.system import System


@dataclass(frozen=True)
class SystemRun:
    """A system with its current run and the depth to which its negatives are taken."""

    system: System
    run: Run
    depth: int

    def command(self, depth: int | None = None) -> str:
        """What makes the run again with all that it was asked for, or to another depth."""
        inputs = self.run.manifest.inputs
        if inputs.engine == IMPORTED:
            where = f"FILE --collection {inputs.collection} --split {inputs.split}"
            if self.run.manifest.facts.get("layout") == "hard-negatives":
                return f"msmctl import hard-negatives {where} --replace"
            return f"msmctl run import {where} --system {self.system.name} --replace"
        words = [
            f"msmctl mine --collection {inputs.collection} --split {inputs.split}",
            f"--system {self.system.name} --depth {depth or inputs.depth}",
        ]
        if self.system.encodes and inputs.engine == "es":
            words.append("--engine es")
        if inputs.all_queries:
            words.append("--all-queries")
        return " ".join(words)

    def refresh_command(self) -> str:
        """What brings the run up to date after a change of the collection."""
        imported = self.run.manifest.inputs.engine == IMPORTED
        return self.command() + ("" if imported else " --refresh")

    def is_stale(self, collection: Collection) -> bool:
        """Whether the collection has changed since the run was mined.

        New passages cannot be among its candidates, new queries have none, and changed judgements may
        leave fewer than its depth.
        """
        return self.run.manifest.inputs.collection_fingerprint != collection.state.fingerprint

    def absent_queries(self, collection: Collection, qords: Ords) -> int:
        """How many of these queries the run does not cover, as they came or were judged after it was mined.

        0 where the state it was mined from is gone, so that this cannot be known.
        """
        inputs = self.run.manifest.inputs
        if not collection.store.exists(state_key(inputs.collection, inputs.collection_version)):
            return 0
        mined = Collection.open(collection.store, inputs.collection, inputs.collection_version)
        if mined.state.fingerprint != inputs.collection_fingerprint:  # another one under the same name
            return 0
        covered = mined.split_qords(inputs.split, judged_only=not inputs.all_queries)
        return len(np.setdiff1d(qords, covered))


def choose_runs(
    collection: Collection, split: str, names: list[str], depth: int | None = None
) -> list[SystemRun]:
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
