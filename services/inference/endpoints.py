"""What can be asked of the models process: our own requests (`wire`), and those of foreign dialects.

An endpoint is a function of the models and a body; `app` adds what is common to all.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from services.bounded import holds_more
from services.deadline import Deadline
from services.errors import UsageError
from services.inference import wire
from services.inference.dialects import cohere, openai, tei
from services.inference.dialects.shapes import ModelName, refused
from services.inference.local import LocalModels
from services.inference.models import PromptKind
from services.inference.shelf import Kind

M = TypeVar("M", bound=BaseModel)
Endpoint = Callable[[LocalModels, bytes], Coroutine[Any, Any, Response]]

FOREIGN_MS = 60_000.0
"""Deadline of requests whose dialect has none."""
MOST_VALUES = 10_000
"""Values that a body is made of, all its lists and objects together."""


class _Body(BaseModel):
    """A request of ours: nothing in it is ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class EmbedBody(_Body):
    """Vectors of texts. `checkpoint`: the one that is hoped for."""

    model: ModelName
    texts: list[str]
    kind: PromptKind = "query"
    checkpoint: str | None = None
    budget_ms: float | None = Field(None, gt=0, allow_inf_nan=False)


class RerankBody(_Body):
    """Logits of texts with a query."""

    model: ModelName
    query: str
    texts: list[str]
    budget_ms: float | None = Field(None, gt=0, allow_inf_nan=False)


class WarmBody(_Body):
    """Names of models that will be asked for."""

    names: list[ModelName] = Field(max_length=64)


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON, by orjson."""
    return Response(orjson.dumps(value), status, dict(headers or {}), "application/json")


# -- ours ------------------------------------------------------------------------------------------


async def embed(models: LocalModels, body: bytes) -> Response:
    """`wire.EMBED`."""
    asked = _parsed(EmbedBody, body)
    deadline = Deadline.after(asked.budget_ms)
    found = await models.embedded(asked.model, asked.texts, asked.kind, deadline, asked.checkpoint)
    return Response(wire.packed(found.vectors), 200, wire.embedded_headers(found), wire.BINARY)


async def weigh(models: LocalModels, body: bytes) -> Response:
    """`wire.WEIGH`."""
    asked = _parsed(EmbedBody, body)
    deadline = Deadline.after(asked.budget_ms)
    found = await models.weighed(asked.model, asked.texts, asked.kind, deadline, asked.checkpoint)
    return Response(wire.packed_weights(found.weights), 200, wire.weighed_headers(found), wire.BINARY)


async def rerank(models: LocalModels, body: bytes) -> Response:
    """`wire.RERANK`."""
    asked = _parsed(RerankBody, body)
    found = await models.reranked(asked.model, asked.query, asked.texts, Deadline.after(asked.budget_ms))
    return Response(wire.packed(found.scores), 200, wire.reranked_headers(found), wire.BINARY)


async def warm(models: LocalModels, body: bytes) -> Response:
    """`wire.WARM`: answered at once."""
    await models.warm(_parsed(WarmBody, body).names)
    return json_response({"status": "loading"}, 202)


# -- foreign ---------------------------------------------------------------------------------------


async def openai_embeddings(models: LocalModels, body: bytes) -> Response:
    """OpenAI's."""
    asked = _parsed(openai.EmbeddingsRequest, body)
    return json_response(await openai.embeddings(models, asked, _foreign()))


async def cohere_v1(models: LocalModels, body: bytes) -> Response:
    """Cohere's, version 1."""
    return json_response(await cohere.rerank(models, _parsed(cohere.RerankRequest, body), 1, _foreign()))


async def cohere_v2(models: LocalModels, body: bytes) -> Response:
    """Cohere's, version 2."""
    return json_response(await cohere.rerank(models, _parsed(cohere.RerankRequest, body), 2, _foreign()))


async def tei_embed(models: LocalModels, body: bytes) -> Response:
    """TEI's."""
    asked = _parsed(tei.EmbedRequest, body)
    return json_response(await tei.embed(models, asked, asked.model or _only(models, "system"), _foreign()))


async def tei_sparse(models: LocalModels, body: bytes) -> Response:
    """TEI's."""
    asked = _parsed(tei.SparseRequest, body)
    model = asked.model or _only(models, "sparse system")
    return json_response(await tei.embed_sparse(models, asked, model, _foreign()))


async def tei_rerank(models: LocalModels, body: bytes) -> Response:
    """TEI's."""
    asked = _parsed(tei.RerankRequest, body)
    return json_response(
        await tei.rerank(models, asked, asked.model or _only(models, "cross-encoder"), _foreign())
    )


ENDPOINTS: dict[str, Endpoint] = {
    wire.EMBED: embed,
    wire.WEIGH: weigh,
    wire.RERANK: rerank,
    wire.WARM: warm,
    openai.PATH: openai_embeddings,
    cohere.PATHS[1]: cohere_v1,
    cohere.PATHS[2]: cohere_v2,
    tei.EMBED: tei_embed,
    tei.SPARSE: tei_sparse,
    tei.RERANK: tei_rerank,
}
"""Every POST, by path."""


def _foreign() -> Deadline:
    return Deadline.after(FOREIGN_MS)


def _only(models: LocalModels, kind: Kind) -> str:
    """The model that is meant where a request names none: the only one that is loaded."""
    names = [name for of, name in models.shelf.loaded if of == kind]
    if len(names) != 1:
        raise UsageError(
            f"model: which {kind}? {len(names)} are loaded" + (f": {', '.join(names)}" if names else ""),
            hint="name it in the request: model",
        )
    return names[0]


def _parsed(shape: type[M], body: bytes) -> M:
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"body: Invalid JSON: {error}") from error
    if holds_more(given, MOST_VALUES):
        raise UsageError(
            f"body: it is made of more than {MOST_VALUES:,} values", hint="send fewer texts at a time"
        )
    try:
        return shape.model_validate(given)
    except ValidationError as error:
        raise refused(error) from error
