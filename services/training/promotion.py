"""From a trained bi-encoder to a served system: registered, then an index version that holds it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from services.collections.collection import Collection
from services.elastic import names, versions
from services.jobs.kind import Context
from services.store.overlay import Overlay
from services.training.register import promote
from services.training.trained import the_trained

if TYPE_CHECKING:
    from services.jobs.kinds.index import IndexSpec


def promotion(context: Context, collection: Collection, name: str) -> IndexSpec:
    """Register the model as a system; the index that serves it besides all that is served now.

    Raises:
        NotFound: there is no such model.
        UsageError: it is a cross-encoder.
        Conflict: a system of another origin has its name.
    """
    from services.jobs.kinds.index import IndexSpec

    model = the_trained(context.store, name)
    now = versions.served(context.elastic(), context.settings, collection.name)
    system = promote(context.store, model)
    held = [one.name for one in now.meta.systems.values()] if now else []
    return IndexSpec(
        collection=collection.name,
        collection_version=collection.state.version,
        systems=tuple(dict.fromkeys((*held, system.name))),
        vector_index=now.meta.vector_index if now else "hnsw",
    )


@contextmanager
def rehearsal(context: Context) -> Iterator[Context]:
    """A context in which a model may be registered and planned for, and nothing of it stays."""
    with tempfile.TemporaryDirectory(prefix="msmctl-promote-") as folder:
        yield replace(context, store=Overlay(context.store, Path(folder)))


def swap_of(context: Context, collection: Collection, systems: Sequence[str]) -> str:
    """In words, which alias would move from which version to one that serves these systems."""
    now = versions.served(context.elastic(), context.settings, collection.name)
    alias = names.passages_alias(context.settings, collection.name)
    return f"{alias}: from {now.passages if now else 'nothing'} to a new version with {', '.join(systems)}"
