"""How our own client and our models process talk: JSON there, float32 back, errors by their code.

`POST /models/embed {model, texts, kind, checkpoint, budget_ms}` and `POST /models/rerank {model, query,
texts, budget_ms}` answer little-endian float32, rows after each other; `msm-dims`, `msm-tokens` and
`msm-checkpoint` are headers. `POST /models/weigh`, asked as `embed`, answers int64 `starts`, int32 `terms`
and float32 `values` (see `Weights`), `msm-terms` of them. `budget_ms` is what is left when the request is
sent; null: no deadline. Any error is `{code, message, hint}` with the status of `STATUS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from services import errors
from services.encoding.weights import Weights
from services.errors import MsmError, Overloaded, Unavailable
from services.inference.models import Embedded, Floats, Reranked, Weighed

EMBED, WEIGH, RERANK, WARM = "/models/embed", "/models/weigh", "/models/rerank", "/models/warm"
LIVE, READY = "/livez", "/readyz"
BINARY = "application/octet-stream"

STATUS: dict[type[MsmError], int] = {
    errors.UsageError: 400,
    errors.InputError: 422,
    errors.AuthError: 401,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Overloaded: 429,
    errors.TooLate: 504,
    errors.Unavailable: 503,
}
"""HTTP status by kind of error; 500 for all others."""

_FOREIGN = {401: errors.AuthError, 403: errors.AuthError, 422: errors.InputError}
"""Of servers that do not speak as we do. Their 404 is a wrong address or a model of theirs, which whoever
searches did not name: to him, the server is not there."""
_NOT_THERE = (
    "check MSM_EMBED_URL and MSM_RERANK_URL: dialect, address, and the model's name there (?model=NAME)"
)
_KINDS: dict[str, type[MsmError]] = {
    str(kind.code): kind for kind in list[type[MsmError]]([*STATUS, MsmError])
}


def status_of(error: MsmError) -> int:
    """The HTTP status that says it."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def headers_of(error: MsmError) -> dict[str, str]:
    """`Retry-After`, in whole seconds, where it is worth another try."""
    return {"Retry-After": str(max(1, round(error.retry_after)))} if isinstance(error, Overloaded) else {}


def error_of(status: int, body: Any, where: str) -> MsmError:
    """The error that an answer of ours stands for.

    Args:
        status: HTTP status.
        body: Decoded JSON, whatever it is: other servers have errors of other shapes.
        where: URL, for those.
    """
    said = body if isinstance(body, dict) else {}
    kind = _KINDS.get(str(said.get("code")))
    if kind is None or not isinstance(said.get("message"), str):
        foreign = _FOREIGN.get(status, Unavailable)
        hint = _NOT_THERE if status == 404 else None
        return foreign(f"{where}: HTTP {status}: {str(body)[:200]}", hint=hint)
    hint = said.get("hint")
    if kind is Overloaded:
        return Overloaded(said["message"], retry_after=float(said.get("retry_after", 1.0)), hint=hint)
    return kind(said["message"], hint=hint)


def body_of(error: MsmError) -> dict[str, Any]:
    """The JSON form of an error."""
    return error.as_dict() | ({"retry_after": error.retry_after} if isinstance(error, Overloaded) else {})


def embedded_headers(answer: Embedded) -> dict[str, str]:
    """What is said beside the vectors."""
    return {"msm-dims": str(answer.vectors.shape[1])} | _headers(answer)


def weighed_headers(answer: Weighed) -> dict[str, str]:
    """What is said beside the weights."""
    about = {"msm-dims": str(answer.weights.dim), "msm-terms": str(len(answer.weights.terms))}
    return about | _headers(answer)


def reranked_headers(answer: Reranked) -> dict[str, str]:
    """What is said beside the scores."""
    return _headers(answer)


def read_embedded(body: bytes, headers: Mapping[str, str], texts: int) -> Embedded:
    """Vectors from an answer.

    Raises:
        ValueError, KeyError: it is none of ours.
    """
    vectors = floats(body).reshape(texts, int(headers["msm-dims"]))
    return Embedded(vectors, int(headers["msm-tokens"]), headers["msm-checkpoint"])


def read_weighed(body: bytes, headers: Mapping[str, str], texts: int) -> Weighed:
    """Term weights from an answer. Raises: as `read_embedded`."""
    terms, head = int(headers["msm-terms"]), 8 * (texts + 1)
    weights = Weights(
        np.frombuffer(body, "<i8", texts + 1).astype(np.int64),
        np.frombuffer(body, "<i4", terms, head).astype(np.int32),
        np.frombuffer(body, "<f4", terms, head + 4 * terms).astype(np.float32),
        int(headers["msm-dims"]),
    ).checked()
    return Weighed(weights, int(headers["msm-tokens"]), headers["msm-checkpoint"])


def read_reranked(body: bytes, headers: Mapping[str, str], texts: int) -> Reranked:
    """Scores from an answer. Raises: as `read_embedded`."""
    scores = floats(body).reshape(texts)
    return Reranked(scores, int(headers["msm-tokens"]), headers["msm-checkpoint"])


def packed(values: Floats) -> bytes:
    """Little-endian bytes."""
    return np.ascontiguousarray(values, "<f4").tobytes()


def packed_weights(weights: Weights) -> bytes:
    """Little-endian bytes."""
    arrays = ((weights.starts, "<i8"), (weights.terms, "<i4"), (weights.values, "<f4"))
    return b"".join(np.ascontiguousarray(array, kind).tobytes() for array, kind in arrays)


def floats(body: bytes) -> Floats:
    """What `packed` made."""
    return np.frombuffer(body, "<f4").astype(np.float32)


def _headers(answer: Embedded | Weighed | Reranked) -> dict[str, str]:
    return {"msm-tokens": str(answer.tokens), "msm-checkpoint": answer.checkpoint}
