"""Puts runs of made-up rankings into a collection's store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from services.collections.collection import Collection
from services.mining.exclusion import rule
from services.mining.ranking import Candidates
from services.mining.runs import Inputs, RunManifest, make_current, run_folder, write_part
from services.systems.registry import Registry


def inputs(collection: Collection, split: str, system: str, depth: int = 50, **changes: Any) -> Inputs:
    state = collection.state
    return Inputs(
        collection=state.name, collection_version=state.version, collection_fingerprint=state.fingerprint,
        passages_fingerprint=state.passages_fingerprint, split=split, system=system, system_fingerprint="f",
        engine="es", depth=depth, all_queries=False, exclusion=rule(),
    ).model_copy(update=changes)  # fmt: skip


def save_run(
    collection: Collection, system: str, ranked: Mapping[str, Sequence[str]], *,
    split: str = "train", depth: int = 50, folder: str = "made", forced: bool = False, **changes: Any,
) -> bool:  # fmt: skip
    """A run in which a system returned, per qid, these pids in this order."""
    qords = {qid: int(qord) for qid, qord in zip(ranked, collection.qords_of(list(ranked)), strict=True)}
    lists = []
    for qid in sorted(ranked, key=qords.__getitem__):
        ords = collection.ords_of(list(ranked[qid]))
        lists.append(Candidates(qords[qid], ords, np.linspace(9, 1, len(ords), dtype=np.float32)))
    slug = Registry.load(collection.store).get(system).slug
    key = f"{run_folder(collection.name, split, slug)}/{folder}"
    part = write_part(collection.store, key, 0, collection.state.query_count, lists)
    manifest = RunManifest(
        inputs=inputs(collection, split, system, depth, **changes), folder=key, parts=[part],
        queries=len(lists), candidates=part.rows, short=0,
    )  # fmt: skip
    return make_current(collection.store, slug, manifest, forced=forced)
