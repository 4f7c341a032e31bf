"""An engine for those who ask and go: connected, with its models, and closed again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from services.elastic.client import connect_async
from services.inference.choose import models as chosen
from services.inference.models import Models
from services.search.engine import Engine
from services.search.served import ServedVersions
from services.settings import Settings
from services.store import Store


@asynccontextmanager
async def opened(
    settings: Settings, store: Store, models: Models | None = None, user: str = "admin"
) -> AsyncIterator[Engine]:
    """An engine of the running event loop.

    Args:
        settings: For the client and the models.
        store: Where models and choices lie.
        models: Who encodes and reranks; None: whoever the settings say.
        user: Whom Elasticsearch sees.
    """
    own = None if models else chosen(settings, store)
    client = connect_async(settings, user)
    try:
        answering = models or own
        assert answering is not None  # noqa: S101 - one of the two is there
        yield Engine(client, settings, answering, ServedVersions(client, settings, store))
    finally:
        await client.close()
        if own is not None:
            await own.close()


@contextmanager
def blocking(
    settings: Settings, store: Store, models: Models | None = None
) -> Iterator[tuple[asyncio.Runner, Engine]]:
    """An engine, and what runs its calls, for code without an event loop: `runner.run(engine.search(…))`."""
    with asyncio.Runner() as runner:
        opening = opened(settings, store, models)
        engine = runner.run(opening.__aenter__())
        try:
            yield runner, engine
        finally:
            runner.run(opening.__aexit__(None, None, None))
