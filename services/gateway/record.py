"""What a search leaves behind in the log of searches (`services.searches`)."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from services.errors import AuthError, Conflict, MsmError, NotFound, Overloaded, Unavailable, UsageError
from services.gateway.hybrid import Hybrid
from services.gateway.native import Refused
from services.gateway.question import texts
from services.gateway.retriever import leaves
from services.gateway.retrieving import Retrieval
from services.search.ask import Ranked
from services.searches.record import SearchRecord

Clause = dict[str, Any]

_CODES = {
    400: UsageError.code, 401: AuthError.code, 403: AuthError.code, 404: NotFound.code, 409: Conflict.code,
    429: Overloaded.code, 503: Unavailable.code,
}  # fmt: skip
"""What the node's refusals are called where it said them itself."""


def of_hybrid(search: Hybrid, ranked: Ranked, answer: Clause, took_ms: float) -> SearchRecord:
    """The record of a search that the engine answered."""
    return SearchRecord(
        **_question(search)
        | _found(answer)
        | {
            "mode": _mode(ranked),
            "legs": tuple(ranked.legs),
            "fusion": ranked.method,
            "reranked": ranked.reranked if search.request.rerank else None,
            "timing": vars(ranked.timing),
            "degraded": ranked.degraded,
        },
        took_ms=took_ms,
    )


def of_retrieval(search: Retrieval, answer: Clause, took_ms: float) -> SearchRecord:
    """The record of a retriever tree."""
    degraded = tuple(str(failure) for failure in search.failures)
    return SearchRecord(**_question(search) | _found(answer) | {"degraded": degraded}, took_ms=took_ms)


def of_failure(search: Hybrid | Retrieval, error: Exception, took_ms: float) -> SearchRecord:
    """The record of a search that could not be answered: with what it asked for."""
    status = error.status if isinstance(error, Refused) else 500
    cause = error.__cause__
    code = cause.code if isinstance(cause, MsmError) else _CODES.get(status, MsmError.code)
    return SearchRecord(**_question(search), status=status, error=code, took_ms=took_ms)


def _question(search: Hybrid | Retrieval) -> Clause:
    """What was asked, by whom."""
    said = _of_request(search) if isinstance(search, Hybrid) else _of_tree(search)
    caller = search.node.caller
    return said | {
        "source": "gateway",
        "index": search.index or "",
        "size": search.body.size,
        "start": search.body.start,
        "user": _user(caller.get("authorization", "")),
        "request_id": caller.get("x-opaque-id", ""),
    }


def _of_request(search: Hybrid) -> Clause:
    request, rerank = search.request, search.request.rerank
    return {
        "collection": search.collection,
        "query": request.query,
        "mode": request.mode or "",
        "fusion": request.fusion,
        "rerank_model": rerank.model if rerank else None,
        "rerank_window": rerank.window if rerank else None,
        "budget_ms": request.budget_ms,
    }


def _of_tree(search: Retrieval) -> Clause:
    """Of a retriever tree; its text is the first that it asks for."""
    own = tuple(leaves(search.tree))
    asked = [text for leaf in own for text in texts(leaf.inner.get("query"))]
    return {
        "collection": search.index or "",
        "query": asked[0] if asked else getattr(search.tree, "text", ""),
        "mode": "retriever",
        "legs": tuple(leaf.name for leaf in own),
        "fusion": search.name,
    }


def _found(answer: Clause) -> Clause:
    total = answer["hits"].get("total")
    return {
        "hits": len(answer["hits"]["hits"]),
        "total": total["value"] if isinstance(total, dict) else None,
        "status": 200,
    }


def _mode(ranked: Ranked) -> str:
    """As the API has it: the kind of the legs that answered, `hybrid` where there are several."""
    scales = (leg.scale for leg in ranked.fused.candidates.legs)
    kinds = {scale if scale in ("bm25", "sparse") else "dense" for scale in scales}
    return kinds.pop() if len(kinds) == 1 else "hybrid"


def _user(authorization: str) -> str:
    """The name in basic credentials; empty for keys and tokens, which are secrets as a whole."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""
