"""Text Embeddings Inference's `/embed`, `/embed_sparse` and `/rerank`: https://huggingface.github.io/text-embeddings-inference.

A server of theirs has one model and no name for it in a request; ours takes `model` besides.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field

from services.deadline import Deadline
from services.encoding.weights import Weights
from services.errors import UsageError
from services.inference.dialects.shapes import ModelName, Shape, best_first, complete, sigmoid
from services.inference.models import Embedded, Floats, ModelService, PromptKind, Weighed

EMBED, SPARSE, RERANK, INFO = "/embed", "/embed_sparse", "/rerank", "/info"
BATCH = 32
"""Texts per request that their servers take unless `/info` says otherwise (`max_client_batch_size`)."""

_LARGE = float(np.finfo(np.float32).max)

_KINDS: dict[str | None, PromptKind] = {
    None: "passage", "query": "query", "passage": "passage", "document": "passage", "corpus": "passage",
}  # fmt: skip


class SparseRequest(Shape):
    """A request for term weights.

    Attributes:
        prompt_name: Which of the system's prompts is put in front; None: the one for passages.
        truncate: Too long a text is always cut at its end, as the index was made; it need not be asked for.
    """

    inputs: str | list[str] = Field(min_length=1)
    model: ModelName | None = None
    prompt_name: str | None = None
    truncate: bool = False
    truncation_direction: Literal["right", "Right"] = "right"

    @property
    def texts(self) -> list[str]:
        """The texts, in order."""
        return [self.inputs] if isinstance(self.inputs, str) else self.inputs


class EmbedRequest(SparseRequest):
    """A request for vectors.

    Attributes:
        normalize: To unit length, whatever the model's own is.
    """

    normalize: bool = True
    dimensions: int | None = Field(None, ge=1)


class RerankRequest(Shape):
    """A request for scores.

    Attributes:
        raw_scores: Logits; without, their sigmoid.
        return_text: Whether the answer carries the texts.
    """

    query: str = Field(min_length=1)
    texts: list[str] = Field(min_length=1)
    model: ModelName | None = None
    raw_scores: bool = False
    return_text: bool = False
    truncate: bool = False
    truncation_direction: Literal["right", "Right"] = "right"


async def embed(
    models: ModelService, request: EmbedRequest, model: str, deadline: Deadline
) -> list[list[float]]:
    """The answer.

    Args:
        models: Who computes.
        request: What came.
        model: Used where the request names none.
        deadline: Of the request.

    Raises:
        UsageError: an unknown prompt, or dimensions that the model does not have.
    """
    name = request.model or model
    found = await models.embedded(name, request.texts, _kind(request.prompt_name), deadline)
    if request.dimensions not in (None, found.vectors.shape[1]):
        raise UsageError(f"dimensions: '{name}' has {found.vectors.shape[1]}, not {request.dimensions}")
    vectors = unit(found.vectors) if request.normalize else found.vectors
    rows: list[list[float]] = vectors.tolist()
    return rows


async def embed_sparse(
    models: ModelService, request: SparseRequest, model: str, deadline: Deadline
) -> list[list[dict[str, Any]]]:
    """The answer: per text, token ids and weights, ascending by id. Arguments as of `embed`.

    Raises:
        UsageError: an unknown prompt.
    """
    kind = _kind(request.prompt_name)
    weights = (await models.weighed(request.model or model, request.texts, kind, deadline)).weights
    entries = [
        {"index": index, "value": value}
        for index, value in zip(weights.terms.tolist(), weights.values.tolist(), strict=True)
    ]
    starts = weights.starts.tolist()
    return [entries[lo:hi] for lo, hi in itertools.pairwise(starts)]


async def rerank(
    models: ModelService, request: RerankRequest, model: str, deadline: Deadline
) -> list[dict[str, Any]]:
    """The answer, best first. Arguments as of `embed`.

    Raises:
        TooLate: some texts were not reached.
    """
    found = await models.reranked(request.model or model, request.query, request.texts, deadline)
    scores = complete(found.scores)
    shown = (scores if request.raw_scores else sigmoid(scores)).tolist()
    return [
        {"index": n, "score": shown[n]} | ({"text": request.texts[n]} if request.return_text else {})
        for n in best_first(scores)
    ]


def _kind(prompt_name: str | None) -> PromptKind:
    if prompt_name not in _KINDS:
        known = ", ".join(name for name in _KINDS if name)
        raise UsageError(f"prompt_name: there is no '{prompt_name}'; known: {known}")
    return _KINDS[prompt_name]


def unit(vectors: Floats) -> Floats:
    """Rows at length 1; one of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    made: Floats = (vectors / np.where(lengths == 0, 1, lengths)).astype(np.float32)
    return made


# -- the inverse -----------------------------------------------------------------------------------


def ask_embed(texts: Sequence[str]) -> dict[str, Any]:
    """What to send for vectors, at their own length, of texts that have their prompts in front."""
    return {"inputs": list(texts), "normalize": False, "truncate": True}


def ask_sparse(texts: Sequence[str]) -> dict[str, Any]:
    """What to send for term weights of texts that have their prompts in front."""
    return {"inputs": list(texts), "truncate": True}


def ask_rerank(query: str, texts: Sequence[str]) -> dict[str, Any]:
    """What to send for logits."""
    return {"query": query, "texts": list(texts), "raw_scores": True, "truncate": True}


def read_embed(answer: Any, texts: int) -> Embedded:
    """Vectors from an answer.

    Raises:
        ValueError, TypeError: it is none.
    """
    vectors = np.asarray(answer, np.float32)
    if vectors.ndim != 2 or len(vectors) != texts:
        raise ValueError(f"shape {vectors.shape} instead of [{texts}, dims]")
    return Embedded(vectors, 0, "")


def read_sparse(answer: Any, texts: int) -> Weighed:
    """Term weights from an answer; its vocabulary is as large as the greatest id says.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    if not isinstance(answer, list) or len(answer) != texts:
        raise ValueError(f"not a list of {texts}")
    rows = [sorted((entry["index"], float(entry["value"])) for entry in row) for row in answer]
    if not all(type(index) is int and 0 <= index < 1 << 31 for row in rows for index, _ in row):
        raise ValueError("an index that is none")
    terms = np.array([index for row in rows for index, _ in row], np.int32)
    weights = Weights(
        np.cumsum([0, *map(len, rows)]).astype(np.int64),
        terms,
        np.array([value for row in rows for _, value in row]).clip(-_LARGE, _LARGE).astype(np.float32),
        int(terms.max(initial=-1)) + 1,
    )
    return Weighed(weights.checked(), 0, "")


def read_rerank(answer: Any, texts: int) -> Floats:
    """Logits from an answer, in the texts' order.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    found = {int(entry["index"]): float(entry["score"]) for entry in answer}
    return np.array([found[n] for n in range(texts)], np.float32)
