"""The index versions of a collection: which there are, which one is served, and how that changes.

A version is two indices with one number, passages and queries, built by one job and never changed once
it is complete. The aliases of both move in one `_aliases` call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from elasticsearch import AsyncElasticsearch, Elasticsearch

from services.collections.collection import Collection
from services.elastic import adhoc, names
from services.elastic.errors import translated
from services.elastic.mapping import passages_body, queries_body
from services.elastic.numbered import (
    Found,
    create,
    existing,
    listing,
    next_number,
    point,
    superseded,
    told,
)
from services.elastic.provenance import Provenance
from services.errors import Conflict, NotFound
from services.settings import Settings


@dataclass(frozen=True)
class Version:
    """One version of a collection's index.

    Attributes:
        passages: Concrete name of the passages index.
        queries: Concrete name of the queries index.
        meta: What it was made from.
        served: Whether the aliases point to it.
    """

    collection: str
    n: int
    passages: str
    queries: str
    meta: Provenance
    served: bool


# -- which there are -------------------------------------------------------------------------------


def versions(client: Elasticsearch, settings: Settings, collection: str | None = None) -> list[Version]:
    """All versions of a collection, or of all collections, ascending by collection and number."""
    return _versions(settings, existing(client, settings, "passages", Provenance, collection))


def _versions(settings: Settings, found: Iterable[Found[Provenance]]) -> list[Version]:
    return [
        Version(
            one.collection,
            one.n,
            one.index,
            names.queries_index(settings, one.collection, one.n),
            one.meta,
            served=names.passages_alias(settings, one.collection) in one.aliases,
        )
        for one in found
    ]


def served(client: Elasticsearch, settings: Settings, collection: str) -> Version | None:
    """The version that the aliases point to."""
    return next((v for v in versions(client, settings, collection) if v.served), None)


def version(client: Elasticsearch, settings: Settings, collection: str, n: int | None = None) -> Version:
    """A version by number; the served one by default.

    Raises:
        NotFound: there is no such version, or none is served.
    """
    return _chosen(versions(client, settings, collection), collection, n)


async def served_async(client: AsyncElasticsearch, settings: Settings, collection: str) -> Version:
    """The served version, for an event loop.

    Raises:
        NotFound: none is served.
    """
    asked = listing(settings, "passages", collection)
    with translated(f"looking for the index of '{collection}'"):
        there = (await client.indices.get(**asked)).body
    found = told(there, settings, "passages", Provenance, collection)
    return _chosen(_versions(settings, found), collection, None)


def _chosen(there: list[Version], collection: str, n: int | None) -> Version:
    found = next((v for v in there if (v.served if n is None else v.n == n)), None)
    if found is None:
        which = f"index version v{n}" if n is not None else "served index"
        numbers = ", ".join(f"v{v.n}" for v in there) or "none"
        raise NotFound(
            f"collection '{collection}' has no {which} (there: {numbers})",
            hint=f"`msmctl index build --collection {collection} --system SYSTEM` makes one",
        )
    return found


def fresh_text_index(client: Elasticsearch, settings: Settings, collection: Collection) -> str | None:
    """The passages index whose BM25 ranks this state of a collection as a new build would.

    Returns:
        The concrete name: of the served version if it qualifies, else of the newest complete one that
        does; None where none does. Changed queries, qrels, metadata types or vectors do not matter.
    """
    usable = [
        v
        for v in versions(client, settings, collection.name)
        if v.meta.state == "complete" and v.meta.holds_text(collection)
    ]
    return max(usable, key=lambda v: (v.served, v.n)).passages if usable else None


# -- building --------------------------------------------------------------------------------------


def of_job(client: Elasticsearch, settings: Settings, collection: str, job: str) -> Version | None:
    """The version that a job builds: the lowest, should two processes have made one each just now."""
    return next((v for v in versions(client, settings, collection) if v.meta.job == job), None)


def allocate(client: Elasticsearch, settings: Settings, meta: Provenance) -> Version:
    """The version that the job of `meta` builds: the one it has, else two empty indices with a new number.

    Safe to call again, and from two processes at once: whoever creates the passages index owns the number.
    """
    body = passages_body(meta.fields, list(meta.systems.values()), meta.vector_index)
    meta = meta.model_copy(update={"built": {"passages": body}})
    created = ""
    while (mine := of_job(client, settings, meta.collection, meta.job)) is None:
        n = next_number(client, settings, meta.collection, ("passages", "queries"))
        index = names.passages_index(settings, meta.collection, n)
        created = index if create(client, index, body, meta) else ""
    if created not in ("", mine.passages):  # another process was between our look and our number
        with translated(f"removing {created}"):
            client.indices.delete(index=created)
    create(client, mine.queries, queries_body(list(mine.meta.systems.values())), mine.meta)
    return mine


def mark(client: Elasticsearch, version: Version, **changes: Any) -> Version:
    """Write changed provenance (state, gate, reason) to the passages index."""
    meta = version.meta.model_copy(update=changes)
    with translated(f"marking {version.passages}"):
        client.indices.put_mapping(index=version.passages, meta=meta.model_dump(mode="json"))
    return Version(version.collection, version.n, version.passages, version.queries, meta, version.served)


# -- serving ---------------------------------------------------------------------------------------


def swap(client: Elasticsearch, settings: Settings, target: Version) -> None:
    """Point both aliases at a complete version, in one atomic call. Nothing happens where they do already.

    Adhoc queries that were encoded by other models go: nobody shall compare them with this version.

    Raises:
        Conflict: the version is not complete.
    """
    if target.meta.state != "complete":
        raise Conflict(
            f"{target.passages} is {target.meta.state}: {target.meta.reason or 'its gate has not passed'}",
            hint=f"`msmctl index verify v{target.n} --collection {target.collection}` runs its gate",
        )
    point(
        client,
        {
            names.passages_alias(settings, target.collection): target.passages,
            names.queries_alias(settings, target.collection): target.queries,
        },
    )
    adhoc.drop_if_stale(client, settings, target.collection, target.meta.systems.values())


def previous(client: Elasticsearch, settings: Settings, collection: str) -> Version:
    """The version to roll back to: the newest complete one below the served one.

    Raises:
        NotFound: nothing is served, or nothing older is there.
    """
    now = version(client, settings, collection)
    older = [v for v in versions(client, settings, collection) if v.n < now.n and v.meta.state == "complete"]
    if not older:
        raise NotFound(
            f"collection '{collection}' serves v{now.n} and has no older complete version",
            hint="`msmctl index ls` lists the versions, `msmctl index swap VERSION` serves any of them",
        )
    return older[-1]


def remove(client: Elasticsearch, target: Version, *, orphan: bool = False) -> None:
    """Remove a version's two indices.

    Args:
        client: With the right to delete.
        target: The version.
        orphan: Its collection is not in the store any more: the served one goes too.

    Raises:
        Conflict: it is the served one.
    """
    if target.served and not orphan:
        raise Conflict(
            f"{target.passages} is served", hint="swap to another version first: `msmctl index rollback`"
        )
    # Queries first: as long as the passages index is there, its number is taken and the version listed.
    with translated(f"removing v{target.n} of '{target.collection}'"):
        for index in (target.queries, target.passages):
            client.options(ignore_status=404).indices.delete(index=index)


def prune(
    client: Elasticsearch, settings: Settings, collection: str, ended: Callable[[str], bool]
) -> list[str]:
    """Remove what is older than the served version, but for the two newest complete ones, and ruins.

    Args:
        client: With the right to delete.
        settings: The prefix counts.
        collection: Whose versions.
        ended: Whether a job works no more: what it has not completed by then nobody will.

    Returns:
        Names of the passages indices that were removed.
    """
    removed = superseded(versions(client, settings, collection), ended)
    for v in removed:
        remove(client, v)
    return [v.passages for v in removed]


def now() -> str:
    """This moment, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
