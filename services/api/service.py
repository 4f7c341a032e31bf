"""What endpoints work with: clients, models, the engine, the log of searches, keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from elasticsearch import AsyncElasticsearch
from fastapi import Request

from services.api.keys.cache import KeyCache
from services.api.keys.rate import Rates
from services.api.limits import LONGEST_MS
from services.api.metrics import Metrics
from services.deadline import Deadline
from services.elastic.client import connect_async
from services.errors import TooLate
from services.inference.choose import models
from services.inference.models import ModelService
from services.search.engine import Engine
from services.search.failures import SEE_STATUS
from services.search.served import ServedVersions
from services.searches.log import SearchLog
from services.settings import Settings
from services.store import Store

USER = "api"


@dataclass(frozen=True)
class Service:
    """One running service. Belongs to one event loop."""

    settings: Settings
    store: Store
    client: AsyncElasticsearch
    models: ModelService
    served: ServedVersions
    engine: Engine
    log: SearchLog
    keys: KeyCache
    metrics: Metrics
    rates: Rates = field(default_factory=Rates)


@asynccontextmanager
async def running(settings: Settings, metrics: Metrics) -> AsyncIterator[Service]:
    """A service from its first request to its last."""
    store = Store(settings.store_url, cache=settings.home / "cache")
    client = connect_async(settings, USER)
    computed = models(settings, store)
    served = ServedVersions(client, settings, store)
    try:
        async with SearchLog(client, settings) as log:
            yield Service(
                settings=settings,
                store=store,
                client=client,
                models=computed,
                served=served,
                engine=Engine(client, settings, computed, served),
                log=log,
                keys=KeyCache(client, settings),
                metrics=metrics,
            )
    finally:
        await computed.close()
        await client.close()


def service_of(request: Request) -> Service:
    """The service that answers a request; a dependency."""
    found: Service = request.state.service
    return found


@asynccontextmanager
async def in_time(request: Request) -> AsyncIterator[None]:
    """TooLate where the block does not end by the request's deadline."""
    try:
        async with asyncio.timeout(deadline_of(request).timeout):
            yield
    except TimeoutError:
        raise TooLate(f"no answer within {LONGEST_MS / 1000:g} seconds", hint=SEE_STATUS) from None


def deadline_of(request: Request, budget_ms: float | None = None) -> Deadline:
    """When the answer must be there: `budget_ms` after the receipt, 20 seconds at most."""
    allowed = LONGEST_MS if budget_ms is None else min(budget_ms, LONGEST_MS)
    return Deadline(request.state.received + allowed / 1000)
