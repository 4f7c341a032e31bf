"""What can be evaluated by name: every system, and `hybrid[+rerank[:MODEL]]`: what a search returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from services.collections.collection import Collection, Ords
from services.elastic import versions
from services.errors import NotFound, UsageError
from services.evaluation.evaluate import RunKind
from services.evaluation.searched import is_reranked, is_search, searched
from services.jobs.kind import Context, Spec
from services.mining.ranking import Candidates
from services.mining.retrieve import retrieve
from services.mining.runs import Engine
from services.negatives.mined import choose_runs
from services.systems.registry import Registry
from services.systems.system import System

_BATCH = 256  # questions read at a time


def canonical(context: Context, name: str) -> str:
    """A system's own name for any of its aliases; NotFound with the nearest names."""
    return name if is_search(name) else Registry.load(context.store).get(name).name


def kind_of(context: Context, name: str, *, reranking: bool) -> RunKind:
    """What a system's rankings are: retrieval, a search with its reranking, or an imported reranked run.

    Raises:
        UsageError: a system that searches the collection is said to rerank.
    """
    if not reranking:
        return "retrieval+reranking" if is_reranked(name) else "retrieval"
    if is_search(name) or not Registry.load(context.store).get(name).is_imported:
        raise UsageError(
            f"'{name}' searches the whole collection: that is retrieval",
            hint="--reranking is for --run, and for systems whose runs were imported",
        )
    return "reranking"


def needed(context: Context, collection: Collection, systems: Sequence[str], engine: Engine) -> list[Spec]:
    """The jobs whose results the systems need; whoever submits them skips what is fresh.

    Raises:
        NotFound: `hybrid` is asked, no version of the index serves an encoder, and none is asked with it.
    """
    from services.jobs.kinds.encode import EncodeSpec
    from services.jobs.kinds.index import IndexSpec

    pinned: dict[str, Any] = {"collection": collection.name, "collection_version": collection.state.version}
    registry = Registry.load(context.store)
    known = [registry.get(name) for name in systems if not is_search(name)]
    known = [system for system in known if not system.is_imported]
    encoded = tuple(system.name for system in known if system.encodes)
    specs: list[Spec] = []
    if encoded and engine == "exact":
        specs += [EncodeSpec(**pinned, system=name) for name in encoded]
    if any(map(is_search, systems)) or (encoded and engine == "es"):
        specs.append(_served_index(context, collection, encoded))
    elif len(encoded) < len(known):
        specs.append(IndexSpec(**pinned))
    return specs


def _served_index(context: Context, collection: Collection, asked: tuple[str, ...]) -> Spec:
    """The index as it is served, of the present state, with the asked systems besides those it has."""
    from services.jobs.kinds.index import IndexSpec

    now = versions.served(context.elastic(), context.settings, collection.name)
    held = [system.name for system in now.meta.systems.values()] if now else []
    names = tuple(dict.fromkeys((*held, *asked)))
    if not names:
        raise NotFound(
            f"the index of collection '{collection.name}' serves BM25 alone, so there is no hybrid",
            hint=f"`msmctl index build --collection {collection.name} --system SYSTEM` adds one",
        )
    return IndexSpec(
        collection=collection.name,
        collection_version=collection.state.version,
        systems=names,
        vector_index=now.meta.vector_index if now else "hnsw",
    )


def rankings(
    context: Context, collection: Collection, split: str, system: str, qords: Ords, depth: int, engine: Engine
) -> Iterator[Candidates]:
    """What a system, or a search, returns for queries of a split, `depth` deep, in the order of `qords`.

    An imported system cannot be asked: its run of the split is read.
    """
    if is_search(system):
        yield from searched(context, collection, system, qords, depth)
        return
    known = Registry.load(context.store).get(system)
    if known.is_imported:
        yield from _of_run(collection, split, known, qords, depth)
        return
    yield from retrieve(context, collection, system, qords, depth, engine if known.encodes else "es")


def _of_run(
    collection: Collection, split: str, system: System, qords: Ords, depth: int
) -> Iterator[Candidates]:
    """An imported run; where the collection lacks a passage, its rank is taken by a negative ord."""
    (chosen,) = choose_runs(collection, split, [system.name])
    for lo in range(0, len(qords), _BATCH):
        batch = qords[lo : lo + _BATCH]
        rows = chosen.run.columns(batch)
        starts = np.searchsorted(rows.query, np.arange(len(batch) + 1))
        for qord, a, b in zip(batch, starts[:-1], starts[1:], strict=True):
            rank = rows.rank[a:b]
            ords = -1 - np.arange(rank.max(initial=0), dtype=np.int32)
            scores = np.zeros(len(ords), np.float32)
            ords[rank - 1], scores[rank - 1] = rows.ords[a:b], rows.score[a:b]
            yield Candidates(int(qord), ords, scores).cut(depth)
