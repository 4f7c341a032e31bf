"""What a collection holds, in figures: the body of `collection show --json`."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import BaseModel

from services.collections.change import rejects_key
from services.collections.collection import Collection
from services.collections.state import FieldType
from services.collections.writer import parts_by_table


class SplitSummary(BaseModel):
    """A split: its queries, how many of them have a positive, its judgements and the positives among them.

    `outside` counts the judgements on passages that the collection never had.
    """

    queries: int
    judged: int
    qrels: int
    positives: int
    outside: int


class CollectionSummary(BaseModel):
    """One state of a collection. `passages` and `queries` count the live ones, `deleted` the tombstones."""

    name: str
    current: bool
    version: int
    passages: int
    queries: int
    deleted: int
    splits: dict[str, SplitSummary]
    fields: dict[str, FieldType]
    min_rel: int
    integer_ids: bool
    bytes: int
    fingerprint: str
    created: str
    updated: str
    sources: list[str]
    rejected: int
    rejects: str | None


def summarise(collection: Collection, current: str | None) -> CollectionSummary:
    """Figures of a state; reads its qrels.

    Args:
        collection: The state.
        current: Name of the current collection.
    """
    state = collection.state
    tables = parts_by_table(state)
    return CollectionSummary(
        name=state.name,
        current=state.name == current,
        version=state.version,
        passages=state.live_passages,
        queries=state.live_queries,
        deleted=state.passage_count - state.live_passages,
        splits={split: _split(collection, split) for split in state.splits},
        fields=state.fields,
        min_rel=state.min_rel,
        integer_ids=state.integer_ids,
        bytes=sum(part.bytes for parts in tables.values() for part in parts),
        fingerprint=state.fingerprint,
        created=state.created,
        updated=state.updated,
        sources=state.sources,
        rejected=state.rejected,
        rejects=collection.store.location(rejects_key(state.name, state.version)) if state.rejected else None,
    )


def row(collection: Collection, current: str | None) -> dict[str, Any]:
    """One row of `collection ls`: from the manifest alone."""
    state = collection.state
    return {
        "name": state.name,
        "current": state.name == current,
        "version": state.version,
        "passages": state.live_passages,
        "queries": state.live_queries,
        "splits": sorted(state.splits),
        "updated": state.updated,
    }


def _split(collection: Collection, split: str) -> SplitSummary:
    qrels = collection.qrels(split)
    return SplitSummary(
        queries=len(collection.split_qords(split, judged_only=False)),
        judged=len(np.intersect1d(collection.split_members(split), qrels.judged)),
        qrels=len(qrels.qords),
        positives=int((qrels.grades >= qrels.min_rel).sum()),
        outside=len(qrels.outside[0]),
    )
