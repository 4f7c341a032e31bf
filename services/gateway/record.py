"""What a search leaves behind in the log of searches (`services.searches`)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from services.gateway.hybrid import Hybrid
from services.gateway.question import texts
from services.gateway.retriever import leaves, read
from services.gateway.retrieving import Retrieval
from services.search.ask import Ranked
from services.searches.record import SearchRecord

Clause = dict[str, Any]


def of_hybrid(search: Hybrid, ranked: Ranked, answer: Clause, took_ms: float) -> SearchRecord:
    """The record of a search that the engine answered."""
    rerank = search.request.rerank
    return SearchRecord(
        source="gateway",
        collection=search.collection,
        query=search.request.query,
        took_ms=took_ms,
        mode=search.request.mode or "hybrid",
        legs=tuple(ranked.legs),
        fusion=ranked.method,
        rerank_model=rerank.model if rerank else None,
        rerank_window=rerank.window if rerank else None,
        reranked=ranked.reranked if rerank else None,
        budget_ms=search.request.budget_ms,
        timing=vars(ranked.timing),
        degraded=ranked.degraded,
        index=search.index,
        size=search.body.size,
        start=search.body.start,
        **_common(answer, search.node.caller),
    )


def of_retrieval(search: Retrieval, answer: Clause, took_ms: float) -> SearchRecord:
    """The record of a retriever tree; its text is the first that it asks for."""
    given = search.body.own["retriever"]
    tree = read(given)
    asked = [text for leaf in leaves(tree) for text in texts(leaf.inner.get("query"))]
    return SearchRecord(
        source="gateway",
        collection=search.index or "",
        query=asked[0] if asked else getattr(tree, "text", ""),
        took_ms=took_ms,
        mode="retriever",
        legs=tuple(leaf.name for leaf in leaves(tree)),
        fusion=next(iter(given)),
        degraded=tuple(str(failure) for failure in search.failures),
        index=search.index or "",
        size=search.body.size,
        start=search.body.start,
        **_common(answer, search.node.caller),
    )


def _common(answer: Clause, caller: Mapping[str, str]) -> Clause:
    total = answer["hits"].get("total")
    return {
        "hits": len(answer["hits"]["hits"]),
        "total": total["value"] if isinstance(total, dict) else None,
        "status": 200,
        "user": _user(caller.get("authorization", "")),
        "request_id": caller.get("x-opaque-id", ""),
    }


def _user(authorization: str) -> str:
    """The name in basic credentials; empty for keys and tokens, which are secrets as a whole."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""
