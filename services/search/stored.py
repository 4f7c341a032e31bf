"""Stored queries: those of the collection, and those that somebody put beside them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from elasticsearch import AsyncElasticsearch

from services.deadline import Deadline
from services.elastic import names
from services.elastic.errors import translated
from services.elastic.versions import Version
from services.errors import NotFound
from services.search.failures import in_time
from services.settings import Settings

_PATIENCE = 2.0
"""Seconds for which it is waited whatever the deadline is: without its text there is no question."""


@dataclass(frozen=True)
class Stored:
    """Where a stored query lies, and its text."""

    index: str
    text: str


async def stored_queries(
    client: AsyncElasticsearch, settings: Settings, version: Version, ids: Collection[str], deadline: Deadline
) -> dict[str, Stored]:
    """Stored queries by id; the collection's own query where an adhoc one has the same.

    Raises:
        NotFound: there is no query of that id. Unavailable: Elasticsearch did not answer in time.
    """
    if not ids:
        return {}
    adhoc = names.adhoc_index(settings, version.collection)
    doing = "looking up stored queries"
    async with in_time(deadline.no_earlier(_PATIENCE), doing):
        with translated(doing):
            reply = await client.search(
                index=[version.queries, adhoc],
                ignore_unavailable=True,
                query={"ids": {"values": sorted(ids)}},
                source_includes=["text"],
                size=2 * len(ids),
                track_total_hits=False,
            )
    found: dict[str, Stored] = {}
    for hit in sorted(reply["hits"]["hits"], key=lambda hit: hit["_index"] == version.queries):
        found[hit["_id"]] = Stored(hit["_index"], hit["_source"]["text"])
    if missing := sorted(set(ids) - found.keys()):
        raise NotFound(
            f"collection '{version.collection}' has no stored query '{missing[0]}'",
            hint="`lookup` takes the qid of one of its queries, or the id of one that was put",
        )
    return found
