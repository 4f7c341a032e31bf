"""What is served now, remembered for some seconds, so that a search asks once and not every time."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from functools import partial

from elasticsearch import AsyncElasticsearch

from services.deadline import Deadline
from services.elastic import names, versions
from services.elastic.versions import Version
from services.errors import NotFound, Unavailable
from services.search.choice import Choice, load
from services.search.failures import SEE_STATUS
from services.search.installed import Installed
from services.search.kept import Kept
from services.search.sample import Sample, sample_of
from services.settings import Settings
from services.store import Store

FRESH = 2.0
"""Seconds that an answer counts as new."""
USABLE = 20.0
"""Seconds that it may still be given while a new one is fetched."""
PATIENCE = 2.0
"""Seconds that anybody waits for what nothing can be answered without: then Elasticsearch is lost."""
_SAMPLING = 0.2
"""Of the time, what the first search of a version may give to its sample."""


@dataclass
class ServedVersions:
    """The served version of collections. Belongs to one event loop.

    Attributes:
        client: May read the metadata of the indices, and analyse texts with them.
        settings: The prefix counts.
        store: Where models and a collection's choices lie.
        installed: Models of the store.
    """

    client: AsyncElasticsearch
    settings: Settings
    store: Store
    _known: dict[str, tuple[float, Version]] = field(default_factory=dict)
    _asking: dict[str, asyncio.Task[Version]] = field(default_factory=dict)
    _samples: dict[str, Sample] = field(default_factory=dict)
    _choices: dict[str, Kept[Choice | None]] = field(default_factory=dict)
    installed: Installed = field(init=False)

    def __post_init__(self) -> None:
        self.installed = Installed(self.store)

    async def of(self, collection: str, deadline: Deadline) -> Version:
        """The served version of a collection; who asks while it is being asked waits for the same answer.

        What was known is given where Elasticsearch does not tell in time; the first who ask wait for two
        seconds at least, whatever their deadline is.

        Raises:
            NotFound: none is served.
            Unavailable: Elasticsearch is lost, or did not answer in time.
        """
        at, known = self._known.get(collection, (0.0, None))
        age = time.monotonic() - at
        if known is not None and age < FRESH:
            return known
        asking = self._asking.get(collection)
        if asking is None:
            asking = asyncio.ensure_future(self._ask(collection))
            self._asking[collection] = asking
            asking.add_done_callback(_seen)
        if known is not None and age < USABLE:
            return known
        try:
            async with asyncio.timeout((deadline if known else deadline.no_earlier(PATIENCE)).timeout):
                return await asyncio.shield(asking)
        except TimeoutError:
            if known is not None:
                return known
            doing = f"looking for the index of '{collection}'"
            raise Unavailable(f"{doing}: no answer in time", hint=SEE_STATUS) from None

    def collection_of(self, index: str) -> str | None:
        """The collection whose passages alias, or version of it, this name is; None for other names."""
        parsed = names.parse(self.settings, index)
        if parsed is not None:
            return parsed[0] if parsed[1] == "passages" else None
        collection = index.removeprefix(f"{self.settings.prefix}-")
        return collection if index == names.passages_alias(self.settings, collection) else None

    async def sample(self, version: Version, deadline: Deadline) -> Sample | None:
        """The sample of a version, drawn once: what a version holds does not change.

        None where Elasticsearch did not tell in time: scores are then seen without it.
        """
        if version.passages not in self._samples:
            try:
                sample = await sample_of(self.client, version.passages, deadline.within(_SAMPLING))
            except Unavailable:
                return None
            self._samples[version.passages] = sample
        return self._samples[version.passages]

    async def choice(self, collection: str, deadline: Deadline) -> Choice | None:
        """What is saved for a collection, as the store last said (see `services.search.kept`).

        Raises:
            TooLate, and what `services.search.choice.load` raises: it was never heard.
        """
        if collection not in self._choices:
            read = partial(load, self.store, collection)
            self._choices[collection] = Kept(f"what is saved for '{collection}'", read, FRESH, USABLE)
        return await self._choices[collection].get(deadline)

    def forget(self, collection: str) -> None:
        """Ask anew next time: what was remembered is gone."""
        self._known.pop(collection, None)

    async def _ask(self, collection: str) -> Version:
        try:
            version = await versions.served_async(self.client, self.settings, collection)
        except NotFound:
            self.forget(collection)
            raise
        finally:
            del self._asking[collection]
        self._known[collection] = time.monotonic(), version
        return version


def _seen(task: asyncio.Task[Version]) -> None:
    """Whoever waits gets the error; where nobody does, the next request asks again."""
    if not task.cancelled():
        task.exception()
