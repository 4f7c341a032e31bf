"""What is served now, remembered for some seconds, so that a search asks once and not every time."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from elasticsearch import AsyncElasticsearch

from services.deadline import Deadline
from services.elastic import versions
from services.elastic.versions import Version
from services.errors import NotFound, TooLate
from services.settings import Settings
from services.store import Store

FRESH = 2.0
"""Seconds that an answer counts as new."""
USABLE = 20.0
"""Seconds that it may still be given while a new one is fetched."""


@dataclass
class ServedVersions:
    """The served version of collections. Belongs to one event loop.

    Attributes:
        client: May read the metadata of the indices.
        settings: The prefix counts.
        store: Where cross-encoders and a collection's choices lie.
    """

    client: AsyncElasticsearch
    settings: Settings
    store: Store
    _known: dict[str, tuple[float, Version]] = field(default_factory=dict)
    _asking: dict[str, asyncio.Task[Version]] = field(default_factory=dict)

    async def of(self, collection: str, deadline: Deadline) -> Version:
        """The served version of a collection.

        Raises:
            NotFound: none is served. TooLate: nobody said so in time.
            Unavailable: Elasticsearch is lost.
        """
        raise NotImplementedError

    def collection_of(self, index: str) -> str | None:
        """The collection whose passages alias, or version of it, this name is; None for other names."""
        raise NotImplementedError

    async def only_cross_encoder(self) -> str:
        """The cross-encoder that is meant where none is named: the only one whose model is installed.

        Raises:
            UsageError: there are several, or none.
        """
        raise NotImplementedError

    def forget(self, collection: str) -> None:
        """Ask anew next time: what was remembered is gone."""
        self._known.pop(collection, None)
