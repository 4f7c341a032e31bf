"""What the routes of the console share: the store, the node, collections that were opened before."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Annotated

from elasticsearch import Elasticsearch
from fastapi import Depends, Request

from services.collections.collection import Collection
from services.collections.current import resolve
from services.elastic.client import connect
from services.jobs.context import open_ledger
from services.jobs.kind import Context
from services.jobs.ledger import Ledger
from services.settings import Settings
from services.store import Store

USER = "console"
"""Its own in Elasticsearch: a fault in the part that searches cannot swap an index."""
_KEPT = 8


class Console:
    """Whatever is asked here waits for its answer: in threads, beside the loop that serves searches.

    One client and one ledger, from the first request that needs them until `close`: pages ask every second.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self.store = store
        self._lock = threading.Lock()
        self._client: Elasticsearch | None = None
        self._ledger: Ledger | None = None
        self._opened = lru_cache(_KEPT)(lambda name, _version: Collection.open(store, name))

    @property
    def elastic(self) -> Elasticsearch:
        """The node, as the console's user."""
        with self._lock:
            if self._client is None:
                self._client = connect(self.settings, USER)
            return self._client

    @property
    def ledger(self) -> Ledger:
        """The ledger of jobs.

        Raises:
            Unavailable: Elasticsearch does not answer.
        """
        # Without the lock: while the node is away nobody waits for another's attempt; two ledgers do no harm.
        if self._ledger is None:
            self._ledger = open_ledger(Context(self.settings, self.store, elastic=lambda: self.elastic))
        return self._ledger

    def collection(self, name: str) -> Collection:
        """The present state of a collection; what was read of it is kept while it stays the same.

        Raises:
            NotFound: there is none of that name.
        """
        present = Collection.open(self.store, resolve(self.store, name))
        return self._opened(name, present.state.version)

    def close(self) -> None:
        """Close connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()


def console_of(request: Request) -> Console:
    """The console of the application; a dependency."""
    found: Console = request.state.console
    return found


Consoled = Annotated[Console, Depends(console_of)]
