"""Which collections can be asked, and what they serve."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, Field

from services.api.authentication import Serving, allowed
from services.api.keys.key import Key
from services.api.problems import responses
from services.api.service import Service, in_time
from services.elastic import names
from services.elastic.errors import translated
from services.elastic.mapping import VectorIndex
from services.elastic.numbered import listing, told
from services.elastic.provenance import Provenance

router = APIRouter(tags=["search"])

Collection = Annotated[
    str,
    Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="Name of a collection.", examples=["squad"]),
]


class Described(BaseModel):
    """A collection that can be asked."""

    name: str
    version: int = Field(description="Of its index.")
    index: str
    systems: list[str] = Field(description="Served systems, `bm25` among them.")
    fields: dict[str, str] = Field(description="Metadata that filters know, with their types.")
    vector_index: VectorIndex


class Collections(BaseModel):
    """The collections that a key may ask."""

    collections: list[Described]


@router.get("/v1/collections", responses=responses(504))
async def list_collections(
    request: Request, service: Serving, key: Annotated[Key, Depends(allowed("search"))]
) -> Collections:
    """The collections that are served and that the key may ask."""
    async with in_time(request):
        served, _ = await serving(service)
    return Collections(collections=[one for one in served if key.reaches(one.name)])


async def serving(service: Service, timeout: float | None = None) -> tuple[list[Described], list[str]]:
    """What is served, and the names of collections that have index versions and serve none.

    Args:
        service: Whose.
        timeout: Seconds; None: as the client waits.
    """
    client = service.client.options(request_timeout=timeout) if timeout else service.client
    with translated("listing collections"):
        there = (await client.indices.get(**listing(service.settings, "passages", None))).body
    found = told(there, service.settings, "passages", Provenance, None)
    served = [
        Described(
            name=one.collection,
            version=one.n,
            index=one.index,
            systems=["bm25", *(system.name for system in one.meta.systems.values())],
            fields=dict(one.meta.fields),
            vector_index=one.meta.vector_index,
        )
        for one in found
        if names.passages_alias(service.settings, one.collection) in one.aliases
    ]
    complete = {one.collection for one in found if one.meta.state == "complete"}
    return served, sorted(complete - {one.name for one in served})
