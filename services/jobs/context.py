"""What a process starts from: the context of its chunks, and the ledger."""

from __future__ import annotations

import uuid
from functools import cache
from typing import TYPE_CHECKING

from services.errors import Unavailable
from services.jobs.kind import Context
from services.jobs.ledger import Ledger
from services.settings import Settings
from services.store import Store

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

FILE = "ledger.sqlite"
"""The file ledger, in MSM_HOME."""
_STORE_ID = "store.json"


def context_for(settings: Settings, user: str = "admin") -> Context:
    """The context of a component.

    Args:
        settings: All settings.
        user: Whom Elasticsearch sees: admin, dispatcher, worker, api, console, gateway or reader.
    """

    @cache
    def client() -> Elasticsearch:
        from services.elastic.client import connect

        return connect(settings, user=user)

    store = Store(settings.store_url, cache=settings.home / "cache")
    return Context(settings=settings, store=store, elastic=client)


def open_ledger(context: Context, *, file_instead: bool = False) -> Ledger:
    """The ledger in Elasticsearch.

    Args:
        context: Gives the client and the store.
        file_instead: Where Elasticsearch is not reachable, open the file ledger in MSM_HOME.

    Raises:
        Unavailable: Elasticsearch is not reachable.
        Conflict: the ledger belongs to another store.
    """
    try:
        from services.jobs.elastic_documents import ElasticDocuments

        ledger = Ledger(ElasticDocuments(context.elastic(), context.settings), shared=True)
        ledger.bind(store_id(context.store), context.store.url)
    except Unavailable:
        if not file_instead:
            raise
        return file_ledger(context)
    return ledger


def file_ledger(context: Context) -> Ledger:
    """The ledger in a file of MSM_HOME, for `--local` alone."""
    from services.jobs.sqlite_documents import SqliteDocuments

    ledger = Ledger(SqliteDocuments(context.settings.home / FILE), shared=False)
    ledger.bind(store_id(context.store), context.store.url)
    return ledger


def store_id(store: Store) -> str:
    """The id of a store, made when first asked for."""
    if not store.exists(_STORE_ID):
        store.create_json(_STORE_ID, {"id": uuid.uuid4().hex})
    return str(store.read_json(_STORE_ID)["id"])
