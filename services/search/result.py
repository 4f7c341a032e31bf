"""The answer to a search, as the command line and the API give it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class SearchResult:
    """An answer. `as_dict` is what `msmctl search --json` prints (docs/search.md).

    Attributes:
        query: The text; with `lookup`, the stored one.
        collection: Who was asked.
        index: Which version of it answered.
        mode: What answered: `bm25`, `dense`, `sparse`, or `hybrid` where several kinds of legs did.
        fusion: The method; None where one leg answered alone.
        reranked: How many hits a cross-encoder scored; None where none was asked to.
        degraded: What is missing from the answer (see `services.search.ask.Ranked`); empty: nothing.
        took_ms: Milliseconds from receipt to answer.
        encode_ms: Of these, for the query's vectors.
        timing: Of these, by step: `encode, legs, scores, rerank, fetch`.
        hits: `rank`, `pid`, `ord`, `score`, `title`, `text`, `meta`, and `explain` where it was asked for.
        notes: What people should know of this answer.
    """

    query: str
    collection: str
    index: str
    mode: str
    fusion: str | None
    reranked: int | None
    degraded: list[str]
    took_ms: float
    encode_ms: float
    timing: dict[str, float]
    hits: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return dict(vars(self))
