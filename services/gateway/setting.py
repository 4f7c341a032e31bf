"""Save how an alias is answered, once it is sure that it can be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.cross_encoders.registry import CrossEncoders
from services.elastic import names
from services.elastic.client import connect
from services.elastic.errors import translated
from services.errors import NotFound, UsageError
from services.gateway.saved import Saved, save
from services.search.fusion import fusion_named
from services.settings import Settings
from services.store import Store


def set_alias(settings: Settings, store: Store, alias: str, how: Mapping[str, Any]) -> Saved:
    """Save a mode for an alias of ours: that of a collection, or one that a person made for it.

    Args:
        settings: Of this installation.
        store: Where it is saved.
        alias: Its name.
        how: `mode`, `fusion`, `rerank`, `budget_ms`.

    Raises:
        NotFound: there is no such alias, or no such cross-encoder.
        UsageError: it is an alias of something else, or there is no such fusion.
    """
    if how.get("fusion"):
        fusion_named(how["fusion"], {})
    if how.get("rerank"):
        CrossEncoders.load(store).get(how["rerank"]["model"])
    saved = Saved(alias=alias, collection=collection_of(settings, alias), **how)
    save(store, saved)
    return saved


def collection_of(settings: Settings, alias: str) -> str:
    """The collection whose passages an alias shows.

    Raises:
        NotFound: there is no such alias. UsageError: it shows something else.
    """
    with connect(settings) as client, translated(f"looking for alias '{alias}'"):
        found = client.options(ignore_status=404).indices.get_alias(name=alias)
    indices = [index for index, entry in found.items() if isinstance(entry, dict) and "aliases" in entry]
    if not indices:
        raise NotFound(
            f"there is no alias '{alias}'",
            hint="`msmctl index ls` lists served indices; their alias is msm-COLLECTION",
        )
    parsed = [names.parse(settings, index) for index in indices]
    collections = {one[0] for one in parsed if one and one[1] == "passages"}
    if len(collections) != 1 or not all(parsed):
        raise UsageError(
            f"alias '{alias}' shows {', '.join(sorted(indices))}: not the passages of one collection",
            hint="name the alias of a collection, such as msm-squad",
        )
    return collections.pop()
