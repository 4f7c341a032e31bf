"""What the routes of the console share: the store, the node, collections that were opened before."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Annotated

from elasticsearch import Elasticsearch
from fastapi import Depends, Request

from services.api.service import service_of
from services.collections.collection import Collection
from services.collections.current import resolve
from services.elastic.client import connect
from services.jobs.context import context_for, open_ledger
from services.jobs.ledger import Ledger
from services.settings import Settings
from services.store import Store

USER = "console"
"""Its own in Elasticsearch: a fault in the part that searches cannot swap an index."""
_KEPT = 8


class Console:
    """Whatever is asked here waits for its answer: in threads, beside the loop that serves searches."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self.store = store
        self._opened = lru_cache(_KEPT)(lambda name, _version: Collection.open(store, name))

    @cached_property
    def elastic(self) -> Elasticsearch:
        """The node, as the console's user."""
        return connect(self.settings, USER)

    @property
    def ledger(self) -> Ledger:
        """The ledger of jobs.

        Raises:
            Unavailable: Elasticsearch does not answer.
        """
        return open_ledger(context_for(self.settings, USER))

    def collection(self, name: str) -> Collection:
        """The present state of a collection; what was read of it is kept while it stays the same.

        Raises:
            NotFound: there is none of that name.
        """
        present = Collection.open(self.store, resolve(self.store, name))
        return self._opened(name, present.state.version)


def console_of(request: Request) -> Console:
    """The console of the application; a dependency."""
    app = request.app
    if not hasattr(app.state, "console"):
        service = service_of(request)
        app.state.console = Console(service.settings, service.store)
    found: Console = app.state.console
    return found


Consoled = Annotated[Console, Depends(console_of)]
