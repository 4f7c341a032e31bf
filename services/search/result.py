"""The answer to a search, as the command line and the API give it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from services.search.ask import Ask, Ranked
from services.search.failures import Failure
from services.search.request import SearchRequest

_KIND = {"bm25": "bm25", "cosine": "dense", "dot": "dense", "sparse": "sparse"}


@dataclass(frozen=True)
class SearchResult:
    """An answer. `as_dict` is what `msmctl search --json` prints (docs/search.md).

    Attributes:
        query: The text; with `lookup`, the stored one.
        collection: Who was asked.
        index: Which version of it answered.
        mode: What answered: `bm25`, `dense`, `sparse`, or `hybrid` where several kinds of legs did; what was
            asked where none did.
        fusion: The method; None where one leg answered alone.
        chosen: Whether what is saved for the collection (`msmctl tune hybrid --save`) decided on either.
        reranked: How many hits a cross-encoder scored; None where none was asked to.
        degraded: What is missing from the answer (see `services.search.ask.Ranked`), or `fetch:REASON`: hits
            are left out, as their sources did not arrive; empty: nothing.
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
    chosen: bool
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


def answer(
    collection: str,
    request: SearchRequest,
    ask: Ask,
    ranked: Ranked,
    sources: Mapping[int, Mapping[str, Any]],
    lost: Failure | None,
    spent: Mapping[str, float],
) -> SearchResult:
    """The answer to a request.

    Args:
        collection: Who was asked.
        request: As it came.
        ask: As it was understood.
        ranked: What the engine found.
        sources: Of its hits, by ord; a hit without one is left out, and the others keep their ranks.
        lost: Why sources are missing.
        spent: Milliseconds: `took` in all, `fetch`.
    """
    answered = ranked.fused.candidates.legs or [leg.column for leg in ask.legs]
    kinds = list(dict.fromkeys(_KIND[leg.scale] for leg in answered))
    notes = list(ranked.notes)
    if not (request.legs or ask.chosen) and request.mode in (None, "hybrid") and len(ask.legs) == 1:
        notes.append("no other system is served: this is BM25 alone")
    ords = ranked.ords.tolist()
    there = [(n, sources[o]) for n, o in enumerate(ords) if o in sources]
    degraded = list(ranked.degraded)
    if lost:
        degraded.append(str(lost))
        notes.append(lost.note)
    timing = asdict(ranked.timing) | {"fetch": spent.get("fetch", 0.0)}
    return SearchResult(
        query=ask.text,
        collection=collection,
        index=ask.index,
        mode=kinds[0] if len(kinds) == 1 else "hybrid",
        fusion=ranked.method,
        chosen=ask.chosen,
        reranked=ranked.reranked if request.rerank else None,
        degraded=degraded,
        took_ms=round(spent["took"], 1),
        encode_ms=round(ranked.timing.encode, 1),
        timing={step: round(value, 1) for step, value in timing.items()},
        hits=[_hit(ranked, n, source, request.explain) for n, source in there],
        notes=notes,
    )


def _hit(ranked: Ranked, n: int, source: Mapping[str, Any], explained: bool) -> dict[str, Any]:
    hit = {
        "rank": ranked.start + n + 1,
        "pid": source["pid"],
        "ord": source["ord"],
        "score": float(ranked.scores[n]),
        "title": source.get("title"),
        "text": source["text"],
        "meta": source.get("meta", {}),
    }
    return hit | ({"explain": ranked.explain(n)} if explained else {})
