"""Keeping queries, encoded, so that clients of Elasticsearch can search by vector without a model."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from services.api.authentication import Serving, allowed, require
from services.api.keys.key import Key
from services.api.problems import responses
from services.api.service import deadline_of, in_time
from services.api.strict_json import StrictRoute
from services.elastic.versions import served_async
from services.search.adhoc_queries import ID_FORM, KEPT_DAYS, MOST_DAYS, AdhocQueries, AdhocQuery
from services.search.request import MAX_QUERY

router = APIRouter(route_class=StrictRoute, tags=["search"])


class Put(BaseModel):
    """A text to be kept."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"collection": "squad", "text": "when did the oil crisis begin"}]},
    )

    collection: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    text: str = Field(min_length=1, max_length=MAX_QUERY)
    id: str | None = Field(
        None, pattern=f"^{ID_FORM}$", description="Left out: made of the text. It stands for one text."
    )
    days: int = Field(KEPT_DAYS, ge=1, le=MOST_DAYS)


@router.post("/v1/queries", responses=responses(404, 409, 504))
async def put_query(
    request: Request, service: Serving, key: Annotated[Key, Depends(allowed("search"))], given: Put
) -> AdhocQuery:
    """Encode a text with all served dense systems and keep it for some days.

    `lookup` holds, by system, what `knn.query_vector_builder.lookup` takes.
    """
    require(service, key, given.collection)
    queries = AdhocQueries(service.client, service.settings, service.models)
    async with in_time(request):
        version = await served_async(service.client, service.settings, given.collection)
        return await queries.put(
            version, given.text, deadline_of(request), identity=given.id, days=given.days
        )
