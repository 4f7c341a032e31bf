"""Search: one question to one collection."""

from __future__ import annotations

import time
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Body, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from services.api.authentication import Serving, allowed
from services.api.collections import Collection
from services.api.keys.key import Key
from services.api.problems import DEFECT, responses, status_of
from services.api.service import Service, deadline_of
from services.api.strict_json import StrictRoute
from services.errors import MsmError
from services.search.request import SearchRequest
from services.search.result import SearchResult
from services.searches.record import SearchRecord

router = APIRouter(route_class=StrictRoute, tags=["search"])

_EXAMPLES: Any = {
    "plain": {
        "summary": "BM25 and all served systems",
        "value": {"query": "when did the oil crisis begin"},
    },
    "reranked": {
        "summary": "The best 50 in the order of a cross-encoder, as far as 400 ms reach",
        "value": {
            "query": "when did the oil crisis begin",
            "mode": "hybrid",
            "rerank": {"window": 50},
            "budget_ms": 400,
            "explain": True,
            "size": 10,
        },
    },
    "filtered": {
        "summary": "Conditions on metadata, which hold in every leg",
        "value": {"query": "oil crisis", "filters": ["year>=1970", "topic=history"], "mode": "bm25"},
    },
}


class Hit(BaseModel):
    """A passage; with `explain`, how it came about."""

    model_config = ConfigDict(extra="allow")

    rank: int
    pid: str
    ord: int
    score: float
    title: str | None
    text: str
    meta: dict[str, Any]


class Found(BaseModel):
    """The answer to a search, as `msmctl search --json` prints it."""

    model_config = ConfigDict(extra="allow")

    query: str
    collection: str
    index: str
    mode: str
    fusion: str | None
    reranked: int | None
    degraded: list[str] = Field(description="What is missing, as `rerank:timeout`; empty: nothing.")
    took_ms: float
    timing: dict[str, float]
    hits: list[Hit]
    notes: list[str]


@router.post(
    "/v1/collections/{collection}/search",
    responses=responses(404, 409) | {200: {"model": Found}},
    response_model=None,
)
async def search(
    request: Request,
    service: Serving,
    key: Annotated[Key, Depends(allowed("search"))],
    collection: Collection,
    asked: Annotated[SearchRequest, Body(openapi_examples=_EXAMPLES)],
) -> Response:
    """Ask a collection.

    Legs, rerankers and encoders that are late, overloaded or away are left out and named in `degraded`;
    only the loss of Elasticsearch is an error.
    """
    result = error = None
    try:
        result = await service.engine.search(collection, asked, deadline_of(request, asked.budget_ms))
    except Exception as raised:
        error = raised
        raise
    finally:
        service.log.record(_record(request, key, collection, asked, result, error))
    _count(service, result)
    return Response(orjson.dumps(result.as_dict()), media_type="application/json")


def _record(
    request: Request,
    key: Key,
    collection: str,
    asked: SearchRequest,
    result: SearchResult | None,
    error: Exception | None,
) -> SearchRecord:
    """What is logged of a search; one whose sender left has neither result nor error."""
    status, code = (200, None) if result else _failure(error)
    return SearchRecord(
        source="api",
        collection=collection,
        query=asked.query,
        took_ms=round(1000 * (time.monotonic() - request.state.received), 1),
        mode=result.mode if result else asked.mode or "",
        fusion=result.fusion if result else asked.fusion,
        rerank_model=asked.rerank.model if asked.rerank else None,
        rerank_window=asked.rerank.window if asked.rerank else None,
        reranked=result.reranked if result else None,
        size=asked.size,
        start=asked.start,
        hits=len(result.hits) if result else 0,
        budget_ms=asked.budget_ms,
        timing=result.timing if result else {},
        degraded=tuple(result.degraded) if result else (),
        user=key.name or key.id,
        status=status,
        error=code,
        index=result.index if result else "",
        request_id=request.state.request_id,
    )


def _failure(error: Exception | None) -> tuple[int, str]:
    """Status and code that stand in the log; a defect is answered, and logged, as one."""
    if error is None:
        return 499, "left"
    return (status_of(error), error.code) if isinstance(error, MsmError) else (500, DEFECT)


def _count(service: Service, result: SearchResult) -> None:
    for entry in result.degraded:
        what, _, why = entry.rpartition(":")
        service.metrics.degraded.labels(what, why).inc()
    service.metrics.reranked.inc(result.reranked or 0)
    service.metrics.unlogged.set(service.log.counts.dropped + service.log.counts.refused)
