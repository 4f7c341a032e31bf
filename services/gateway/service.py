"""What a gateway works with, from its first request to its last."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from elasticsearch import AsyncElasticsearch

from services.elastic.client import anonymous_async, connect_async
from services.elastic.errors import translated
from services.errors import MsmError
from services.gateway.app import Parts
from services.gateway.looking import Looking
from services.gateway.saved import Aliases
from services.gateway.searches import Searches
from services.gateway.upstream import Upstream
from services.inference.choose import models
from services.search.engine import Engine
from services.search.served import ServedVersions
from services.searches.log import SearchLog
from services.settings import Settings
from services.stack.endpoints import endpoints
from services.store import Store

USER = "gateway"
"""Looks for served versions and writes the log of searches; what is shown is read by whoever asks."""
_PATIENCE = 2.0


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Parts]:
    """The parts of a gateway. It connects when it is asked, and needs nobody to be there."""
    store = Store(settings.store_url, cache=settings.home / "cache")
    own, callers = connect_async(settings, USER), anonymous_async(settings)
    computed = models(settings, store)
    served = ServedVersions(own, settings, store)
    try:
        async with (
            Upstream(endpoints(settings).es_url) as upstream,
            SearchLog(own, settings) as log,
            Aliases(store) as aliases,
        ):
            engine = Engine(own, settings, computed, served)
            searches = Searches(engine, callers, computed, aliases, log.record)
            yield Parts(upstream, Looking(searches, upstream), lambda: _unready(own))
    finally:
        await computed.close()
        await callers.close()
        await own.close()


async def _unready(client: AsyncElasticsearch) -> str | None:
    """Why the node cannot be asked; None: it can."""
    try:
        with translated("Elasticsearch"):
            health = await client.options(request_timeout=_PATIENCE, max_retries=0).cluster.health()
    except MsmError as error:
        return error.message
    return None if health["status"] in ("green", "yellow") else f"cluster health is {health['status']}"
