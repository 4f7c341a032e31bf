"""Cohere's rerank, versions 1 and 2: https://docs.cohere.com/reference/rerank.

Relevance is the sigmoid of the logit, so that it lies between 0 and 1 as theirs does.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from services.deadline import Deadline
from services.inference.dialects.shapes import ModelName, Shape, best_first, complete, logits, sigmoid
from services.inference.models import Floats, ModelService

PATHS = {1: "/v1/rerank", 2: "/v2/rerank"}
Version = Literal[1, 2]


class Document(Shape):
    """A document of version 1 that is not a plain text."""

    text: str


class RerankRequest(Shape):
    """A request of either version.

    Attributes:
        top_n: How many of the best are answered; None: all.
        return_documents: Version 1 only: whether results carry their text.
    """

    model: ModelName
    query: str = Field(min_length=1)
    documents: list[str | Document] = Field(min_length=1)
    top_n: int | None = Field(None, ge=1)
    return_documents: bool = False

    @property
    def texts(self) -> list[str]:
        """The documents' texts, in order."""
        return [one if isinstance(one, str) else one.text for one in self.documents]


async def rerank(
    models: ModelService, request: RerankRequest, version: Version, deadline: Deadline
) -> dict[str, Any]:
    """The answer, best first.

    Raises:
        TooLate: some documents were not reached. Else as `ModelService.reranked`.
    """
    texts = request.texts
    found = await models.reranked(request.model, request.query, texts, deadline)
    order = best_first(complete(found.scores))[: request.top_n]
    relevance = sigmoid(found.scores).tolist()
    with_text = version == 1 and request.return_documents
    return {
        "id": str(uuid.uuid4()),
        "results": [
            {"index": n, "relevance_score": relevance[n]}
            | ({"document": {"text": texts[n]}} if with_text else {})
            for n in order
        ],
        "meta": {"api_version": {"version": str(version)}, "billed_units": {"search_units": 1}},
    }


# -- the inverse -----------------------------------------------------------------------------------


def ask(model: str, query: str, texts: Sequence[str]) -> dict[str, Any]:
    """What to send, in version 2's shape, for the relevance of all texts."""
    return {"model": model, "query": query, "documents": list(texts), "top_n": len(texts)}


def read(answer: Any, texts: int) -> Floats:
    """Logits from an answer, in the texts' order.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    shares = {int(entry["index"]): float(entry["relevance_score"]) for entry in answer["results"]}
    return logits([shares[n] for n in range(texts)])
