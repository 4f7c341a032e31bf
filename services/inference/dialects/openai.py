"""OpenAI's embeddings: https://platform.openai.com/docs/api-reference/embeddings/create."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field

from services.deadline import Deadline
from services.errors import UsageError
from services.inference.dialects.shapes import ModelName, Shape
from services.inference.models import Embedded, Floats, ModelService, PromptKind
from services.inference.wire import floats, packed

PATH = "/v1/embeddings"


class EmbeddingsRequest(Shape):
    """A request.

    Attributes:
        input: A text or several; lists of token ids are refused, as tokenizers differ.
        dimensions: Only the model's own; others would need a model that was trained for them.
        input_type: Ours: which of a system's prompts is put in front.
    """

    model: ModelName
    input: str | list[str] = Field(min_length=1)
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1)
    input_type: PromptKind = "passage"

    @property
    def texts(self) -> list[str]:
        """The texts, in order."""
        return [self.input] if isinstance(self.input, str) else self.input


async def embeddings(models: ModelService, request: EmbeddingsRequest, deadline: Deadline) -> dict[str, Any]:
    """The answer.

    Raises:
        UsageError: other dimensions than the model's. Else as `ModelService.embedded`.
    """
    found = await models.embedded(request.model, request.texts, request.input_type, deadline)
    dims = found.vectors.shape[1]
    if request.dimensions not in (None, dims):
        raise UsageError(f"dimensions: '{request.model}' has {dims}, not {request.dimensions}")
    plain = request.encoding_format == "float"
    rows: list[Any] = (
        found.vectors.tolist() if plain else [base64.b64encode(packed(row)).decode() for row in found.vectors]
    )
    return {
        "object": "list",
        "model": request.model,
        "data": [{"object": "embedding", "index": n, "embedding": row} for n, row in enumerate(rows)],
        "usage": {"prompt_tokens": found.tokens, "total_tokens": found.tokens},
    }


# -- the inverse -----------------------------------------------------------------------------------


def ask(model: str, texts: Sequence[str]) -> dict[str, Any]:
    """What to send for vectors of texts that have their prompts in front."""
    return {"model": model, "input": list(texts), "encoding_format": "base64"}


def read(answer: Any, texts: int) -> Embedded:
    """Vectors from an answer, in either format.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    rows: list[Floats | None] = [None] * texts
    for entry in answer["data"]:
        value = entry["embedding"]
        rows[entry["index"]] = (
            floats(base64.b64decode(value)) if isinstance(value, str) else np.asarray(value, np.float32)
        )
    if any(row is None for row in rows):
        raise ValueError("a text has no embedding")
    usage = answer.get("usage") or {}
    return Embedded(np.stack([row for row in rows if row is not None]), usage.get("prompt_tokens", 0), "")
