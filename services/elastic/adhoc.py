"""The index of a collection's adhoc queries: `<prefix>-<c>-adhoc`.

A version's own queries index is closed to writers, so these lie beside it. Their vectors are of the models
that its `_meta` names. When other models are served the index goes: a vector of another checkpoint would be
compared all the same, and mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from elasticsearch import Elasticsearch, NotFoundError

from services.elastic.errors import translated
from services.elastic.mapping import ServedSystem, template
from services.elastic.names import adhoc_index
from services.settings import Settings


def body(systems: Iterable[ServedSystem]) -> dict[str, Any]:
    """`settings` and `mappings` for the served dense systems."""
    dense = dense_of(systems)
    made = template("adhoc")
    made["mappings"]["properties"]["vectors"] = {
        "properties": {one.slug: {"type": "dense_vector", "dims": one.dims, "index": False} for one in dense}
    }
    made["mappings"]["_meta"] = {"models": models_of(dense)}
    return made


def dense_of(systems: Iterable[ServedSystem]) -> list[ServedSystem]:
    """Those whose vectors can be looked up."""
    return sorted((one for one in systems if one.kind == "dense"), key=lambda one: one.slug)


def models_of(systems: Iterable[ServedSystem]) -> dict[str, str]:
    """Fingerprints of the models, by slug."""
    return {one.slug: one.model for one in dense_of(systems)}


def models_in(answer: Mapping[str, Any]) -> Any:
    """What `_mapping` says of one index: the models whose vectors it holds."""
    [index] = answer.values()
    return index["mappings"].get("_meta", {}).get("models")


def drop(client: Elasticsearch, settings: Settings, collection: str) -> None:
    """Remove a collection's adhoc queries."""
    index = adhoc_index(settings, collection)
    with translated(f"removing {index}"):
        client.options(ignore_status=404).indices.delete(index=index)


def drop_if_stale(
    client: Elasticsearch, settings: Settings, collection: str, systems: Iterable[ServedSystem]
) -> None:
    """Remove a collection's adhoc queries unless they are of the models that are served now.

    Args:
        client: With the right to manage the index.
        settings: The prefix counts.
        collection: Whose.
        systems: What is served now.
    """
    index = adhoc_index(settings, collection)
    with translated(f"looking at {index}"):
        try:
            if models_in(client.indices.get_mapping(index=index).body) != models_of(systems):
                client.indices.delete(index=index)
        except NotFoundError:
            return
