"""The HTTP application: routers, and what every request passes before them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from services.api import collections, health, models, queries, search
from services.api.authentication import admit
from services.api.console import indices, jobs, negatives, overview
from services.api.console.console import Console
from services.api.edge.tracked import Tracked
from services.api.edge.whole_body import WholeBody
from services.api.metrics import Metrics
from services.api.openapi import Documented
from services.api.page.files import mount
from services.api.problems import handle_problems
from services.api.service import Service, running
from services.errors import MsmError
from services.settings import Settings

logger = logging.getLogger(__name__)

ROUTERS = (
    search.router,
    collections.router,
    queries.router,
    models.router,
    models.public,
    overview.router,
    negatives.router,
    jobs.router,
    indices.router,
    health.router,
)

_ABOUT = """
Search over BM25, dense and sparse legs with fusion and reranking; embeddings and reranking in the shapes of
OpenAI, Cohere and text-embeddings-inference. Every endpoint but the health checks wants
`Authorization: Bearer KEY`. Errors are problem details (RFC 9457).
"""


def create_app(settings: Settings) -> FastAPI:
    """The application for one installation. It connects when it starts, and needs nobody to be there."""
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with running(settings, metrics) as service:
            warming = asyncio.create_task(_warm(service))
            console = Console(settings, service.store)
            yield {"service": service, "console": console}
            warming.cancel()
            console.close()

    app = Documented(
        title="msmctl",
        version=version("msmctl"),
        description=_ABOUT,
        lifespan=lifespan,
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
    )
    app.state.draining = False
    for router in ROUTERS:
        app.include_router(router)
    mount(app)
    handle_problems(app)
    app.add_middleware(WholeBody, metrics=metrics, admit=admit)
    app.add_middleware(Tracked, metrics=metrics)  # added last: the outermost
    return app


async def _warm(service: Service) -> None:
    """Have the encoders loaded that searches will ask for, so that the first one need not wait."""
    try:
        served, _ = await collections.serving(service)
    except MsmError as error:
        logger.warning("models are not warmed: %s", error.message)
        return
    systems = {name for one in served for name in one.systems if name != "bm25"}
    await service.models.warm(sorted(systems))
