"""Embeddings and reranking in the shapes of OpenAI, Cohere and text-embeddings-inference.

The shapes themselves are `services.inference.dialects`; here are keys, limits and deadlines.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request, Response

from services.api.authentication import Serving, allowed
from services.api.limits import DOCUMENTS, LONGEST_MS, TEXT_CHARACTERS, TEXTS
from services.api.problems import responses
from services.api.service import deadline_of
from services.api.strict_json import StrictRoute
from services.errors import UsageError
from services.inference.dialects import cohere, openai, tei

router = APIRouter(
    route_class=StrictRoute,
    dependencies=[Depends(allowed("embed"))],
    responses=responses(404, 504),
    tags=["models"],
)

_ENCODER, _SCORER = "all-MiniLM-L6-v2", "ms-marco-MiniLM-L6-v2"
_CANDIDATES = ["The oil crisis began in October 1973.", "Rivers carry minerals to the sea."]


def _example(value: dict[str, Any]) -> Any:
    return Body(openapi_examples={"example": {"value": value}})


_CohereRequest = Annotated[
    cohere.RerankRequest,
    _example({"model": _SCORER, "query": "when did the oil crisis begin", "documents": _CANDIDATES}),
]


@router.post(openai.PATH)
async def embeddings(
    request: Request,
    service: Serving,
    asked: Annotated[
        openai.EmbeddingsRequest,
        _example({"model": _ENCODER, "input": ["why is the sea salty"], "input_type": "query"}),
    ],
) -> dict[str, Any]:
    """Vectors of texts, in OpenAI's shape; `encoding_format` float or base64.

    Beyond OpenAI's: `input_type` query or passage (the default) chooses the system's prompt.
    """
    _check(asked.texts, TEXTS)
    return await openai.embeddings(service.models, asked, deadline_of(request))


@router.post(cohere.PATHS[1])
async def rerank_v1(
    request: Request,
    service: Serving,
    asked: _CohereRequest,
) -> dict[str, Any]:
    """Relevance of documents to a query, in the shape of Cohere's version 1."""
    _check([asked.query, *asked.texts], DOCUMENTS + 1)
    return await cohere.rerank(service.models, asked, 1, deadline_of(request))


@router.post(cohere.PATHS[2])
async def rerank_v2(
    request: Request,
    service: Serving,
    asked: _CohereRequest,
) -> dict[str, Any]:
    """Relevance of documents to a query, in the shape of Cohere's version 2."""
    _check([asked.query, *asked.texts], DOCUMENTS + 1)
    return await cohere.rerank(service.models, asked, 2, deadline_of(request))


@router.post(tei.EMBED)
async def embed(
    request: Request,
    service: Serving,
    asked: Annotated[
        tei.EmbedRequest, _example({"inputs": ["why is the sea salty"], "prompt_name": "query"})
    ],
) -> list[list[float]]:
    """Vectors of texts, in the shape of text-embeddings-inference; `model` may name the system."""
    _check(asked.texts, TEXTS)
    model = await service.served.installed.system(asked.model, deadline_of(request))
    return await tei.embed(service.models, asked, model, deadline_of(request))


@router.post(tei.SPARSE)
async def embed_sparse(
    request: Request,
    service: Serving,
    asked: Annotated[
        tei.SparseRequest, _example({"inputs": ["why is the sea salty"], "prompt_name": "query"})
    ],
) -> list[list[dict[str, Any]]]:
    """Term weights of texts, in the shape of text-embeddings-inference; `model` may name the system."""
    _check(asked.texts, TEXTS)
    model = await service.served.installed.sparse(asked.model, deadline_of(request))
    return await tei.embed_sparse(service.models, asked, model, deadline_of(request))


@router.post(tei.RERANK)
async def rerank(
    request: Request,
    service: Serving,
    asked: Annotated[
        tei.RerankRequest, _example({"query": "when did the oil crisis begin", "texts": _CANDIDATES})
    ],
) -> list[dict[str, Any]]:
    """Relevance of texts to a query, in the shape of text-embeddings-inference; `model` may be named."""
    _check([asked.query, *asked.texts], DOCUMENTS + 1)
    model = await service.served.installed.cross_encoder(asked.model, deadline_of(request))
    return await tei.rerank(service.models, asked, model, deadline_of(request))


@router.get(tei.INFO)
async def info(request: Request, service: Serving) -> dict[str, Any]:
    """Models and limits; names as text-embeddings-inference has them where it has them."""
    names = await service.served.installed.names(deadline_of(request))
    return {
        "model_id": names.systems[0] if len(names.systems) == 1 else "",
        "systems": names.systems,
        "sparse_systems": names.sparse,
        "cross_encoders": names.cross_encoders,
        "max_client_batch_size": TEXTS,
        "max_batch_tokens": service.settings.queue_tokens,
        "max_request_ms": LONGEST_MS,
        "auto_truncate": True,
        "version": version("msmctl"),
    }


public = APIRouter(tags=["models"])
"""Without a key, as in text-embeddings-inference."""


@public.get("/health", response_class=Response)
async def health() -> Response:
    """The process answers; 200 without a body."""
    return Response()


def _check(texts: Sequence[str], most: int) -> None:
    """Refuse more texts, or longer ones, than one request may have."""
    if len(texts) > most:
        raise UsageError(f"{len(texts):,} texts; one request takes {most:,}", hint="send fewer at a time")
    longest = max(map(len, texts))
    if longest > TEXT_CHARACTERS:
        raise UsageError(f"a text of {longest:,} characters; the longest taken has {TEXT_CHARACTERS:,}")
