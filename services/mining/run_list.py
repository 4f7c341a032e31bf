"""The runs of a collection: what there is, one of them in full, and removing one."""

from __future__ import annotations

from typing import Any

from services.collections.collection import Collection, folder
from services.errors import NotFound
from services.mining.runs import Run, open_run, run_folder
from services.systems.registry import Registry
from services.systems.system import System


def list_runs(collection: Collection) -> list[dict[str, Any]]:
    """Every run as `msmctl run ls` prints it, by split and then in registry order."""
    return [
        summary(collection, run)
        for split in collection.store.children(f"{folder(collection.name)}/runs")
        for system in Registry.load(collection.store)
        if (run := open_run(collection, split, system.name)) is not None
    ]


def summary(collection: Collection, run: Run) -> dict[str, Any]:
    """One run in short; `stale`: the collection has changed since."""
    manifest = run.manifest
    inputs = manifest.inputs
    return {
        "split": inputs.split,
        "system": inputs.system,
        "engine": inputs.engine,
        "depth": inputs.depth,
        "queries": manifest.queries,
        "candidates": manifest.candidates,
        "version": inputs.collection_version,
        "stale": inputs.collection_fingerprint != collection.state.fingerprint,
    }


def describe(collection: Collection, split: str, name: str) -> dict[str, Any]:
    """One run with all that it was made from, as `msmctl run show` prints it."""
    run, _ = find(collection, split, name)
    inputs = run.manifest.inputs
    return summary(collection, run) | {
        "collection": collection.name,
        "fingerprint": inputs.system_fingerprint,
        "all_queries": inputs.all_queries,
        "short": run.manifest.short,
        "bytes": sum(part.bytes for part in run.manifest.parts),
        "facts": run.manifest.facts,
    }


def remove(collection: Collection, split: str, name: str) -> dict[str, Any]:
    """Remove a run; an imported system that has no other run is forgotten with it."""
    _, system = find(collection, split, name)
    store = collection.store
    store.remove(run_folder(collection.name, split, system.slug))
    forgotten = system.is_imported and not _has_runs(collection, system)
    if forgotten:
        store.remove(f"{Registry.key}/{system.name}.json")
    return {"removed": system.name, "collection": collection.name, "split": split, "forgotten": forgotten}


def find(collection: Collection, split: str, name: str) -> tuple[Run, System]:
    """The run of a system, in any spelling of its name.

    Raises:
        NotFound: there is no such split, system or run.
    """
    collection.split_members(split)
    system = Registry.load(collection.store).get(name)
    run = open_run(collection, split, system.name)
    if run is None:
        raise NotFound(
            f"'{system.name}' has no run on split '{split}' of collection '{collection.name}'",
            hint=f"`msmctl run ls --collection {collection.name}` lists them",
        )
    return run, system


def _has_runs(collection: Collection, system: System) -> bool:
    """Whether the system has a run of any split of any collection."""
    store = collection.store
    return any(
        store.exists(f"{run_folder(name, split, system.slug)}/run.json")
        for name in store.children("collections")
        for split in store.children(f"{folder(name)}/runs")
    )
