"""Whether the service is alive and ready, and what it counted.

No key is asked for: names of collections and addresses of other services are told only to who sends one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from services.api.authentication import Serving, sender
from services.api.collections import serving
from services.api.keys.key import Key
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
    collections: int = Field(description="How many are served.")


@router.get("/livez")
async def livez() -> Alive:
    """The process answers."""
    return Alive()


@router.get(
    "/readyz",
    responses={
        401: {"description": "A key was sent that does not count", "model": Problem},
        404: {"description": "There is no such collection", "model": Problem},
        422: {"description": "No name of a collection", "model": Problem},
        503: {
            "description": "Elasticsearch does not answer, or the collection serves no version",
            "model": Problem,
        },
    },
)
async def readyz(
    request: Request,
    service: Serving,
    collection: Annotated[str | None, Query(description="It must be served too.", max_length=64)] = None,
) -> Ready:
    """Elasticsearch answers us, aliases are there, models are warm.

    Without models searches are answered by what needs none, so that they are no reason for 503. `degraded`
    names collections and models where a key with the scope admin is sent, and only counts them for others.
    """
    key = await sender(request)
    (served, unserved), models = await asyncio.gather(serving(service, _PATIENCE), service.models.unready())
    if collection in unserved:
        raise Unavailable(
            f"collection '{collection}' has index versions and serves none",
            hint=f"`msmctl index swap VERSION --collection {collection}` serves one",
        )
    if collection is not None and collection not in {one.name for one in served}:
        raise NotFound(
            f"collection '{collection}' has no index",
            hint=f"`msmctl index build --collection {collection} --system SYSTEM` makes one",
        )
    degraded = lacking(unserved, models, key)
    return Ready(status="degraded" if degraded else "ready", degraded=degraded, collections=len(served))


def lacking(unserved: Sequence[str], models: Sequence[str], key: Key | None) -> list[str]:
    """Why not all is there, as far as the sender may know.

    Args:
        unserved: Collections that have index versions and serve none.
        models: Why not all models are ready.
        key: The sender's; None: nobody is known.
    """
    admin = key if key is not None and key.has("admin") else None
    named = [name for name in unserved if admin is not None and admin.reaches(name)]
    told = [f"collection '{name}' has index versions and serves none" for name in named]
    if others := len(unserved) - len(named):
        told.append(f"collections that have index versions and serve none: {others:,}")
    if admin is None:
        return told + ["not all models are ready"] * bool(models)
    return told + [f"models: {reason}" for reason in models]


@router.get("/metrics", response_class=Response)
async def metrics(service: Serving) -> Response:
    """Counters in Prometheus's text format."""
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")
