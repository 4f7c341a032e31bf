"""Looking keys up by id, remembered for some seconds: what is revoked is refused within that time."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable

from elasticsearch import AsyncElasticsearch, NotFoundError

from services.api.keys.key import Key
from services.api.keys.store import TABLE
from services.elastic.errors import translated
from services.settings import Settings

SECONDS = 5.0
"""How long an answer counts, so how long a revoked key may still be taken."""
_PATIENCE = 2.0
_MOST = 10_000


class KeyCache:
    """Keys by id. Many who ask for the same one at once cost one request.

    Args:
        client: May read `<prefix>-keys`.
        settings: The prefix counts.
        clock: Seconds, never going back.
    """

    def __init__(
        self, client: AsyncElasticsearch, settings: Settings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client.options(request_timeout=_PATIENCE, max_retries=1, retry_on_timeout=False)
        self._index = settings.index(TABLE)
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Key | None]] = OrderedDict()
        self._asked: dict[str, asyncio.Task[Key | None]] = {}

    async def get(self, identity: str) -> Key | None:
        """The key with this id, if there is one.

        Raises:
            Unavailable: Elasticsearch does not answer. Nobody is let in unseen.
        """
        until, key = self._known.get(identity, (0.0, None))
        if self._clock() < until:
            return key
        task = self._asked.get(identity)
        if task is None:
            task = asyncio.create_task(self._look(identity))
            self._asked[identity] = task
            task.add_done_callback(lambda done: self._forget(identity, done))
        # One who goes away does not take the answer from the others who wait for it.
        return await asyncio.shield(task)

    def _forget(self, identity: str, done: asyncio.Task[Key | None]) -> None:
        del self._asked[identity]
        if not done.cancelled():
            done.exception()  # seen, also where all who asked have gone

    async def _look(self, identity: str) -> Key | None:
        with translated("looking up a key"):
            try:
                found = await self._client.get(index=self._index, id=identity)
                key: Key | None = Key.model_validate(found["_source"])
            except NotFoundError:
                key = None
        self._known.pop(identity, None)
        self._known[identity] = (self._clock() + SECONDS, key)
        if len(self._known) > _MOST:
            self._known.popitem(last=False)
        return key
