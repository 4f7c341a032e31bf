"""Whether the service is alive and ready, and what it counted. No key is asked for."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from services.api.authentication import Serving
from services.api.collections import serving
from services.api.problems import Problem
from services.errors import NotFound, Unavailable

router = APIRouter(tags=["health"])

_PATIENCE = 1.5


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """Searches are answered; `degraded` says what they lack."""

    status: Literal["ready", "degraded"]
    degraded: list[str] = Field(description="Why not all is there; empty: it is.")
    collections: list[str] = Field(description="Those that are served.")


@router.get("/livez")
async def livez() -> Alive:
    """The process answers."""
    return Alive()


@router.get(
    "/readyz",
    responses={
        404: {"description": "There is no such collection", "model": Problem},
        422: {"description": "No name of a collection", "model": Problem},
        503: {
            "description": "Elasticsearch does not answer, or the collection serves no version",
            "model": Problem,
        },
    },
)
async def readyz(
    service: Serving,
    collection: Annotated[str | None, Query(description="It must be served too.", max_length=64)] = None,
) -> Ready:
    """Elasticsearch answers us, aliases are there, models are warm.

    Without models searches are answered by what needs none, so that they are no reason for 503.
    """
    (served, unserved), models = await asyncio.gather(serving(service, _PATIENCE), service.models.unready())
    names = [one.name for one in served]
    if collection in unserved:
        raise Unavailable(
            f"collection '{collection}' has index versions and serves none",
            hint=f"`msmctl index swap VERSION --collection {collection}` serves one",
        )
    if collection is not None and collection not in names:
        raise NotFound(
            f"collection '{collection}' has no index",
            hint=f"`msmctl index build --collection {collection} --system SYSTEM` makes one",
        )
    degraded = [f"collection '{name}' has index versions and serves none" for name in unserved]
    degraded += [f"models: {reason}" for reason in models]
    return Ready(status="degraded" if degraded else "ready", degraded=degraded, collections=names)


@router.get("/metrics", response_class=Response)
async def metrics(service: Serving) -> Response:
    """Counters in Prometheus's text format."""
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")
