"""From a trained bi-encoder to a served system: registered, then an index version that holds it."""

from __future__ import annotations

from services.collections.collection import Collection
from services.elastic import versions
from services.jobs.kind import Context, Spec
from services.training.register import promote
from services.training.trained import the_trained


def promotion(context: Context, collection: Collection, name: str) -> Spec:
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
