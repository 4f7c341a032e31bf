"""One search, as it is logged; a field is named as in the Elastic Common Schema where that has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from services.searches.query_hash import QueryHash

Source = Literal["api", "gateway"]


@dataclass(frozen=True, kw_only=True)
class SearchRecord:
    """One search. Nothing here may make the search fail: what is not known is left out.

    Attributes:
        source: Who answered.
        collection: Collection or alias, as it was asked.
        query: The text. It is logged as a keyed hash; as text only where `searches_text` is set.
        took_ms: From receipt to answer.
        mode: `bm25`, `dense`, `sparse`, `hybrid`, or what else the request was called.
        legs: Systems that were asked, `bm25` among them.
        fusion: Method; None with one leg.
        rerank_model: Cross-encoder that was asked for.
        rerank_window: Passages that it was to rerank.
        reranked: Passages that it did rerank in time.
        size, start: Of the page that was asked for.
        hits: On that page.
        total: Matches of the lexical leg, where they were counted.
        budget_ms: Time that the request allowed.
        timing: Milliseconds by step, such as `encode, legs, scores, rerank, fetch`.
        degraded: Entries such as `rerank:timeout`; empty: whole.
        user: Name of the key or the user, never a secret.
        status: Of the HTTP answer.
        error: `MsmError.code` of a search that failed; None: it was answered.
        index: Concrete index that was asked.
        request_id: `X-Request-Id` or `X-Opaque-Id` of the caller.
        at: Moment of receipt.
    """

    source: Source
    collection: str
    query: str
    took_ms: float
    mode: str = ""
    legs: tuple[str, ...] = ()
    fusion: str | None = None
    rerank_model: str | None = None
    rerank_window: int | None = None
    reranked: int | None = None
    size: int | None = None
    start: int | None = None
    hits: int = 0
    total: int | None = None
    budget_ms: float | None = None
    timing: Mapping[str, float] = field(default_factory=dict)
    degraded: tuple[str, ...] = ()
    user: str = ""
    status: int | None = None
    error: str | None = None
    index: str = ""
    request_id: str = ""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def document(self, hashed: QueryHash, *, text: bool) -> dict[str, Any]:
        """The document (es_mappings/searches.json), without what is not known.

        Args:
            hashed: Names the query without telling it.
            text: Also the query itself.
        """
        answered = self.error is None
        query = {"hash": hashed(self.query), "length": len(self.query)}
        return _known(
            {
                "@timestamp": self.at.astimezone(UTC).isoformat(timespec="milliseconds"),
                "event": {
                    "action": "search",
                    "duration": round(self.took_ms * 1_000_000),
                    "outcome": "success" if answered else "failure",
                },
                "service": {"name": self.source},
                "user": {"name": self.user},
                "http": {"request": {"id": self.request_id}, "response": {"status_code": self.status}},
                "error": {"code": self.error},
                "collection": self.collection,
                "index": self.index,
                "query": query | ({"text": self.query} if text else {}),
                "mode": self.mode,
                "legs": list(self.legs),
                "fusion": self.fusion,
                "rerank": {
                    "model": self.rerank_model,
                    "window": self.rerank_window,
                    "reranked": self.reranked,
                },
                "size": self.size,
                "from": self.start,
                "hits": self.hits if answered else None,
                "total": self.total,
                "zero_hits": self.hits == 0 if answered else None,
                "budget_ms": self.budget_ms,
                "took_ms": self.took_ms,
                "latency": {f"{step}_ms": taken for step, taken in self.timing.items()},
                "degraded": list(self.degraded),
            }
        )


def _known(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Without None, empty texts, lists and objects, at every depth; half characters are replaced."""
    inner = {name: _clean(value) for name, value in fields.items()}
    return {name: value for name, value in inner.items() if value not in (None, "", [], {})}


def _clean(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _known(value)
    # A lone surrogate (JSON's "\ud800") is no character that can be sent on.
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
