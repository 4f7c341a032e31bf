"""What the routes of the console share: the store, the node, collections that were opened before."""

from __future__ import annotations

from functools import cached_property, lru_cache

from elasticsearch import Elasticsearch

from services.collections.collection import Collection
from services.collections.current import resolve
from services.elastic.client import connect
from services.jobs.context import context_for, open_ledger
from services.jobs.ledger import Ledger
from services.settings import Settings
from services.store import Store

USER = "api"
_KEPT = 8


class Console:
    """Everything here is synchronous: routes run in the threads of the web framework, beside the searches."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._open = lru_cache(_KEPT)(lambda name, _version: Collection.open(self.store, name))

    @cached_property
    def store(self) -> Store:
        """The artefact store."""
        return Store(self.settings.store_url, cache=self.settings.home / "cache")

    @cached_property
    def elastic(self) -> Elasticsearch:
        """The node, as the user of this service."""
        return connect(self.settings, USER)

    @property
    def ledger(self) -> Ledger:
        """The ledger of jobs.

        Raises:
            Unavailable: Elasticsearch does not answer.
        """
        return open_ledger(context_for(self.settings, USER))

    def collection(self, name: str) -> Collection:
        """The present state of a collection; its ids are read once per state.

        Raises:
            NotFound: there is none of that name.
        """
        state = Collection.open(self.store, resolve(self.store, name)).state
        return self._open(name, state.version)
