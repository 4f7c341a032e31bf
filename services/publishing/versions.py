"""Versions of a collection's published negatives: which there are, how one is made, served and removed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from elasticsearch import Elasticsearch

from services.elastic import names
from services.elastic.errors import translated
from services.elastic.mapping import template
from services.elastic.numbered import create, existing, next_number, point, superseded
from services.elastic.report import size
from services.errors import NotFound
from services.publishing.publication import Publication
from services.settings import Settings


@dataclass(frozen=True)
class Version:
    """One index of published negatives.

    Attributes:
        index: Its concrete name.
        served: Whether the alias points to it.
    """

    n: int
    index: str
    meta: Publication
    served: bool


def versions(client: Elasticsearch, settings: Settings, collection: str | None = None) -> list[Version]:
    """All versions of a collection, or of all, ascending by collection and number."""
    return [
        Version(one.n, one.index, one.meta, names.negatives_alias(settings, one.collection) in one.aliases)
        for one in existing(client, settings, "negatives", Publication, collection)
    ]


def served(client: Elasticsearch, settings: Settings, collection: str) -> Version | None:
    """The version that the alias points to."""
    return next((v for v in versions(client, settings, collection) if v.served), None)


def version(client: Elasticsearch, settings: Settings, collection: str, n: int) -> Version:
    """A version by number; NotFound where there is none."""
    there = versions(client, settings, collection)
    found = next((v for v in there if v.n == n), None)
    if found is None:
        numbers = ", ".join(f"v{v.n}" for v in there) or "none"
        raise NotFound(
            f"collection '{collection}' has no published version v{n} (there: {numbers})",
            hint="`msmctl publish ls` lists them",
        )
    return found


def of_job(client: Elasticsearch, settings: Settings, collection: str, job: str) -> Version | None:
    """The version that a job builds: the lowest, should two processes have made one each just now."""
    return next((v for v in versions(client, settings, collection) if v.meta.job == job), None)


def allocate(client: Elasticsearch, settings: Settings, meta: Publication) -> Version:
    """The version that the job of `meta` builds: the one it has, else an empty index with a new number."""
    created = ""
    while (mine := of_job(client, settings, meta.collection, meta.job)) is None:
        n = next_number(client, settings, meta.collection, ("negatives",))
        index = names.negatives_index(settings, meta.collection, n)
        created = index if create(client, index, body(meta), meta) else ""
    if created not in ("", mine.index):  # another process was between our look and our number
        with translated(f"removing {created}"):
            client.indices.delete(index=created)
    return mine


def body(meta: Publication) -> dict[str, Any]:
    """`settings` and `mappings`: strict, with the fields of each system."""
    made = template("negatives")
    of_system = template("fields")["system"]
    made["mappings"]["properties"]["systems"] = {
        "properties": {slug: {"properties": of_system} for slug in sorted(meta.systems)}
    }
    return made


def mark(client: Elasticsearch, version: Version, **changes: Any) -> Version:
    """Write changed facts into a version's `_meta`."""
    meta = version.meta.model_copy(update=changes)
    with translated(f"marking {version.index}"):
        client.indices.put_mapping(index=version.index, meta=meta.model_dump(mode="json"))
    return replace(version, meta=meta)


def serve(client: Elasticsearch, settings: Settings, version: Version) -> None:
    """Point the alias at a version."""
    point(client, {names.negatives_alias(settings, version.meta.collection): version.index})


def remove(client: Elasticsearch, version: Version) -> None:
    """Remove a version; the alias goes with the served one."""
    with translated(f"removing {version.index}"):
        client.options(ignore_status=404).indices.delete(index=version.index)


def prune(
    client: Elasticsearch, settings: Settings, collection: str, ended: Callable[[str], bool]
) -> list[str]:
    """Remove what is old and what ended jobs left behind; returns the names."""
    removed = superseded(versions(client, settings, collection), ended)
    for old in removed:
        remove(client, old)
    return [old.index for old in removed]


def summary(client: Elasticsearch, version: Version) -> dict[str, Any]:
    """A version as `publish ls` prints it."""
    there, bytes_ = size(client, version.index)
    meta = version.meta
    return {
        "collection": meta.collection,
        "version": version.n,
        "state": meta.state,
        "served": version.served,
        "split": meta.split,
        "systems": [system.name for system in meta.systems.values()],
        "ce": (meta.described["ce"] or {}).get("name"),
        "queries": meta.queries,
        "of_queries": meta.of_queries,
        "documents": there,
        "texts": meta.texts,
        "filters": meta.described["filters"],
        "bytes": bytes_,
        "index": version.index,
        "collection_version": meta.collection_version,
        "job": meta.job,
        "created": meta.created,
        "completed": meta.completed,
    }
