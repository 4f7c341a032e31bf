"""Keeping adhoc queries: encode a text with what a collection serves, store it, forget it when it is old."""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from elasticsearch import AsyncElasticsearch, BadRequestError, ConflictError, NotFoundError
from elasticsearch.helpers import pack_dense_vector

from services.deadline import Deadline
from services.elastic.adhoc import body, dense_of, models_in, models_of
from services.elastic.errors import translated
from services.elastic.names import adhoc_index
from services.elastic.versions import Version
from services.errors import Conflict, UsageError
from services.inference.models import Models
from services.settings import Settings

KEPT_DAYS = 7
MOST_DAYS = 90
ID_FORM = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}"
_MADE = "adhoc-"
_ATTEMPTS = 3
_SWEPT = 500


@dataclass(frozen=True)
class Lookup:
    """Where Elasticsearch finds the vector: the body of `query_vector_builder.lookup`."""

    index: str
    id: str
    path: str


@dataclass(frozen=True)
class AdhocQuery:
    """A text that is kept.

    Attributes:
        id: By which it is looked up.
        expires: Until then it is kept, at least.
        index: The served version that its vectors can be compared with.
        lookup: By system.
    """

    id: str
    collection: str
    text: str
    expires: str
    index: str
    lookup: dict[str, Lookup]

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


@dataclass(frozen=True)
class AdhocQueries:
    """Adhoc queries of all collections. Belongs to one event loop.

    Attributes:
        client: May make, write and remove `<prefix>-*-adhoc`.
        settings: The prefix counts.
        models: Encoders.
    """

    client: AsyncElasticsearch
    settings: Settings
    models: Models

    async def put(
        self,
        version: Version,
        text: str,
        deadline: Deadline,
        *,
        identity: str | None = None,
        days: int = KEPT_DAYS,
        replace: bool = False,
    ) -> AdhocQuery:
        """Encode a text with every served dense system and keep it; the same text again is kept longer.

        As long as it is kept its id stands for this text alone: others look it up by that.

        Args:
            version: What is served now.
            text: Of the query.
            deadline: For the encoders.
            identity: None: made of the text, so that the same text has the same one.
            days: How long.
            replace: The id may stand for another text until now.

        Raises:
            UsageError: an id that is none, or is made of another text; days out of range.
            Conflict: the id stands for another text.
            TooLate, Overloaded, Unavailable, NotFound, Conflict: as the encoders answer.
        """
        key = _key(text, identity)
        if not 1 <= days <= MOST_DAYS:
            raise UsageError(f"days: 1 to {MOST_DAYS}, not {days}")
        if not text.strip():
            raise UsageError("the text is empty")
        systems = dense_of(version.meta.systems.values())
        found = await asyncio.gather(*(self.models.embed(one, [text], deadline) for one in systems))
        now = datetime.now(UTC).replace(microsecond=0)
        expires = (now + timedelta(days=days)).isoformat()
        document: dict[str, Any] = {"id": key, "text": text, "created": now.isoformat(), "expires": expires}
        document["vectors"] = {
            one.slug: pack_dense_vector(np.ascontiguousarray(vectors[0]))
            for one, vectors in zip(systems, found, strict=True)
        }
        index = adhoc_index(self.settings, version.collection)
        with translated(f"keeping a query in {index}"):
            expires = await self._write(index, version, document, replace)
            await self._sweep(index, now)
        lookup = {one.name: Lookup(index, key, one.field) for one in systems}
        return AdhocQuery(key, version.collection, text, expires, version.passages, lookup)

    async def _write(self, index: str, version: Version, document: dict[str, Any], replace: bool) -> str:
        """Until when the document is kept."""
        for _ in range(_ATTEMPTS):
            await self._ensure(index, version)
            try:
                return await self._put(index, document, replace)
            except (NotFoundError, ConflictError):  # others found the index stale, or wrote the same id
                continue
        raise Conflict(f"{index} is being changed by others", hint="try again in a moment")

    async def _put(self, index: str, document: dict[str, Any], replace: bool) -> str:
        key: str = document["id"]
        expires: str = document["expires"]
        try:
            present = await self.client.get(index=index, id=key, source_includes=["text", "expires"])
        except NotFoundError:
            only: dict[str, Any] = {"op_type": "create"}
        else:
            before = present["_source"]
            if before["text"] == document["text"]:
                expires = max(expires, before["expires"])
            elif not replace and before["expires"] >= document["created"]:
                raise Conflict(
                    f"id '{key}' stands for another text in {index}",
                    hint="choose another id; `msmctl query put --replace` puts this text in its place",
                )
            only = {"if_seq_no": present["_seq_no"], "if_primary_term": present["_primary_term"]}
        # `lookup` searches: what it finds must have been refreshed.
        await self.client.index(
            index=index, id=key, document=document | {"expires": expires}, refresh=True, **only
        )
        return expires

    async def _ensure(self, index: str, version: Version) -> None:
        """Have the index there, for the models of this version."""
        systems = list(version.meta.systems.values())
        try:
            answer = await self.client.indices.get_mapping(index=index)
            if models_in(answer.body) == models_of(systems):
                return
            await self.client.indices.delete(index=index)
        except NotFoundError:
            pass
        made = body(systems)
        try:
            await self.client.indices.create(
                index=index, settings=made["settings"], mappings=made["mappings"]
            )
        except BadRequestError as error:
            if error.error != "resource_already_exists_exception":
                raise

    async def _sweep(self, index: str, now: datetime) -> None:
        """Forget what is old; some at a time, as every new query calls this."""
        old = await self.client.search(
            index=index,
            query={"range": {"expires": {"lt": now.isoformat()}}},
            size=_SWEPT,
            source=False,
            track_total_hits=False,
        )
        gone = [{"delete": {"_id": hit["_id"]}} for hit in old["hits"]["hits"]]
        if gone:
            await self.client.bulk(index=index, operations=gone)


def _key(text: str, chosen: str | None) -> str:
    """The id by which a text is kept.

    Raises:
        UsageError: the chosen one is none, or is made of another text.
    """
    made = _MADE + hashlib.sha256(text.encode()).hexdigest()[:16]
    if chosen is None:
        return made
    if not re.fullmatch(ID_FORM, chosen, re.ASCII):
        raise UsageError(f"id '{chosen}': letters, digits and '._:-', 128 at most")
    if chosen.startswith(_MADE) and chosen != made:
        raise UsageError(
            f"id '{chosen}' is not that of this text: '{_MADE}…' are made of the text",
            hint="choose another id, or none",
        )
    return chosen
