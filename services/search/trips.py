"""One trip to Elasticsearch with many searches: an answer or an error for each, by a deadline."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from elasticsearch import ApiError, AsyncElasticsearch

from services.deadline import Deadline
from services.elastic.errors import translated
from services.elastic.msearch import batch_size
from services.errors import MsmError, Overloaded, TooLate, Unavailable
from services.search.failures import of_item
from services.search.pace import Pulse

Clause = dict[str, Any]
Item = Clause | MsmError
"""A search's answer, or why there is none."""

_HASTY: WeakKeyDictionary[AsyncElasticsearch, AsyncElasticsearch] = WeakKeyDictionary()
"""By client, the one that keeps a deadline in its place."""

_ATTEMPTS = 8
_SERVER_SHARE = 0.8
"""Of the time left, what the node may take: it gives what it has by then, and that has to travel."""
_HITS = "responses.hits.hits"
TRIMMED = ",".join(
    [f"{_HITS}.sort"] + [f"responses.{key}" for key in ("error", "status", "timed_out", "_shards.failed")]
)
"""What is needed of the answer to a leg."""
WHOLE = f"{TRIMMED},{_HITS}._source"
"""The same with sources."""


@dataclass(frozen=True)
class Trips:
    """Where trips go.

    Attributes:
        client: Whose rights decide what is read.
        index: Where is searched.
        senders: Requests at a time, where there is more than one: in batches, never for one search.
        pulse: Sees every question and answer.
    """

    client: AsyncElasticsearch
    index: str
    senders: int
    pulse: Pulse

    async def send(
        self, bodies: Sequence[Clause], deadline: Deadline, k: int, filter_path: str = TRIMMED
    ) -> list[Item]:
        """An item per body, in order: one `_msearch` of up to 100 searches, several where there are more.

        Without a deadline, items that fail for a passing reason are sent again with back-off; somebody
        who waits is told at once.

        Raises:
            Unavailable: Elasticsearch is lost. AuthError: it does not know this client.
        """
        size = batch_size(k)
        batches = [bodies[at : at + size] for at in range(0, len(bodies), size)]
        gate = asyncio.Semaphore(self.senders)

        async def one(batch: Sequence[Clause]) -> list[Item]:
            async with gate:
                return await self._batch(batch, deadline, filter_path)

        tasks = [asyncio.ensure_future(one(batch)) for batch in batches]
        try:
            return [item for task in tasks for item in await task]
        finally:
            for task in tasks:
                task.cancel()

    async def _batch(self, bodies: Sequence[Clause], deadline: Deadline, filter_path: str) -> list[Item]:
        items = await self._once(bodies, deadline, filter_path)
        for attempt in range(1, _ATTEMPTS):
            again = [n for n, item in enumerate(items) if isinstance(item, Unavailable)]
            if not again or not math.isinf(deadline.at):
                break
            # Full jitter, 8 s at most: the node's queue is full, all senders back off alike.
            await asyncio.sleep(random.uniform(0, min(8.0, 0.25 * 2**attempt)))  # noqa: S311 - no secret
            for n, item in zip(
                again, await self._once([bodies[n] for n in again], deadline, filter_path), strict=True
            ):
                items[n] = item
        return items

    async def _once(self, bodies: Sequence[Clause], deadline: Deadline, filter_path: str) -> list[Item]:
        if deadline.passed:
            return [TooLate("no time was left to ask")] * len(bodies)
        limit = {} if deadline.timeout is None else {"timeout": f"{_server_ms(deadline)}ms"}
        searches = [line for body in bodies for line in ({}, limit | body)]
        doing = f"searching {self.index}"
        try:
            with self.pulse.asking():
                async with asyncio.timeout(deadline.timeout):
                    with translated(doing):
                        reply = await _patient(self.client, deadline).msearch(
                            index=self.index, searches=searches, filter_path=filter_path
                        )
        except TimeoutError:
            return [TooLate(f"{doing}: no answer in time")] * len(bodies)
        except Unavailable as error:
            if isinstance(error.__cause__, ApiError) and error.__cause__.meta.status == 429:
                full = Overloaded(error.message, hint=error.hint)
                full.__cause__ = error.__cause__
                return [full] * len(bodies)
            raise
        return [of_item(item, doing) if _failed(item) else item for item in reply["responses"]]


def _server_ms(deadline: Deadline) -> int:
    return max(1, int(deadline.left * 1000 * _SERVER_SHARE))


def _patient(client: AsyncElasticsearch, deadline: Deadline) -> AsyncElasticsearch:
    """The client as it is, or one that keeps a deadline: a lost connection is tried once more at once."""
    if deadline.timeout is None:
        return client
    if client not in _HASTY:  # making one takes longer than some searches' own work here
        _HASTY[client] = client.options(
            max_retries=1,
            retry_on_timeout=False,
            retry_on_status=(),
            retry_backoff_base=0,
            retry_backoff_cap=0,
        )
    return _HASTY[client]


def _failed(item: Clause) -> bool:
    return "error" in item or int(item.get("status", 200)) >= 400
