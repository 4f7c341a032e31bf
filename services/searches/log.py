"""Writes searches to Elasticsearch in the background. A search never waits for it and never fails by it."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from itertools import islice
from types import TracebackType
from typing import Any, Self

from elasticsearch import AsyncElasticsearch, BadRequestError

from services.elastic.errors import TRANSIENT, of_status, reason, translated
from services.elastic.mapping import template
from services.errors import MsmError, Unavailable
from services.searches.query_hash import QueryHash
from services.searches.record import SearchRecord
from services.searches.retention import index_of
from services.settings import Settings

logger = logging.getLogger(__name__)

WAITING = 10_000
"""Records that wait at most; those that come then are dropped and counted."""
_BATCH = 500
_PERIOD, _LONGEST = 1.0, 30.0
"""Seconds between two writes, and between two attempts while Elasticsearch is away."""
_TIMEOUT = 10.0
_PATIENCE = 3.0
"""Seconds that the end of a process waits for the last write."""


@dataclass
class Counts:
    """What became of records since the start.

    Attributes:
        written: In Elasticsearch.
        dropped: Came while the queue was full, or were left at the end.
        refused: Elasticsearch does not take them, for want of a right or of a field.
    """

    written: int = 0
    dropped: int = 0
    refused: int = 0


@dataclass(frozen=True)
class _Entry:
    """A document on its way. Its id is its own from the start, so that it may be sent twice."""

    index: str
    id: str
    document: dict[str, Any]


class SearchLog:
    """Use as an asynchronous context: entering starts the writer, leaving writes what is left.

    With `searches_days` 0 nothing is recorded.

    Args:
        client: May create `<prefix>-searches-*` and documents there.
        settings: `searches_days`, `searches_text`, prefix, and the secret of the query hash.
        waiting: See `WAITING`.

    Raises:
        AuthError: the secret of the query hash is missing.
    """

    def __init__(self, client: AsyncElasticsearch, settings: Settings, *, waiting: int = WAITING) -> None:
        self._client = client.options(request_timeout=_TIMEOUT, max_retries=0)
        self._settings = settings
        self._limit = waiting
        self._hash = QueryHash.of(settings) if settings.searches_days else None
        self._waiting: deque[_Entry] = deque()
        self._made: set[str] = set()
        self._ending = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self.counts = Counts()

    @property
    def waiting(self) -> int:
        """Records that are not written yet."""
        return len(self._waiting)

    def record(self, record: SearchRecord) -> None:
        """Take a record, at once; from any thread."""
        if self._hash is None:
            return
        if len(self._waiting) >= self._limit:
            self.counts.dropped += 1
            return
        index = index_of(self._settings, record.at.astimezone(UTC).date())
        document = record.document(self._hash, text=self._settings.searches_text)
        self._waiting.append(_Entry(index, uuid.uuid4().hex, document))

    async def __aenter__(self) -> Self:
        if self._hash is not None:
            self._writer = asyncio.create_task(self._write())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Write what is left, for some seconds at most; what cannot be written is dropped."""
        if self._writer is None:
            return
        self._ending.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._writer, _PATIENCE)
        self._writer = None
        if self._waiting:
            self.counts.dropped += len(self._waiting)
            logger.warning("%d searches were not logged: Elasticsearch was away", len(self._waiting))
            self._waiting.clear()

    # -- writing -----------------------------------------------------------------------------------

    async def _write(self) -> None:
        pause = _PERIOD
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), pause)
            ending = self._ending.is_set()
            try:
                await self._flush()
                pause = _PERIOD
            except Unavailable as error:
                pause = min(pause * 2, _LONGEST)
                logger.warning("the log of searches waits (%d): %s", len(self._waiting), error.message)
            if ending:
                return

    async def _flush(self) -> None:
        """Write all that waits; Unavailable leaves what is not written where it is."""
        while self._waiting:
            batch = list(islice(self._waiting, _BATCH))
            try:
                refused = await self._send(batch)
            except Unavailable:
                raise
            except MsmError as error:  # no attempt would end otherwise
                logger.warning("searches are not logged: %s", error.message)
                refused = len(batch)
            for _ in batch:
                self._waiting.popleft()
            self.counts.written += len(batch) - refused
            self.counts.refused += refused

    async def _send(self, batch: list[_Entry]) -> int:
        """Create a batch's documents; returns how many are refused. A batch may be sent again."""
        operations: list[dict[str, Any]] = []
        for entry in batch:
            await self._make(entry.index)
            operations += [{"create": {"_index": entry.index, "_id": entry.id}}, entry.document]
        with translated("logging searches"):
            answer = await self._client.bulk(operations=operations)
        refused = 0
        for item in answer["items"]:
            outcome = item["create"]
            status = int(outcome["status"])
            if status in TRANSIENT or status == 404:  # 404: the index was removed since we made it
                self._made.discard(outcome["_index"])
                raise Unavailable(f"logging searches: {reason(outcome)}")
            if status >= 400 and status != 409:  # 409: written by an attempt whose answer was lost
                refused += 1
                logger.warning("a search is not logged: %s", of_status(status, reason(outcome)).message)
        return refused

    async def _make(self, index: str) -> None:
        if index in self._made:
            return
        body = template("searches")
        with translated("logging searches"):
            try:
                await self._client.indices.create(
                    index=index, settings=body["settings"], mappings=body["mappings"]
                )
            except BadRequestError as error:
                if error.error != "resource_already_exists_exception":
                    raise
        self._made.add(index)
