"""Rankings made of rankings, as Elasticsearch's `rrf` and `linear` retrievers do it. No I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.gateway.retriever import Linear, Normaliser, Rrf

Document = tuple[str, str]
"""Index and `_id`."""


@dataclass(frozen=True)
class Found:
    """One document in a ranking, and how it came there.

    Attributes:
        why: By leaf's or retriever's name, what it gave: `rank`, `score` and what the retriever adds.
    """

    document: Document
    score: float
    why: Mapping[str, Any] = field(default_factory=dict)


Ranking = Sequence[Found]
"""Best first."""


def rrf(retriever: Rrf, rankings: Sequence[Ranking]) -> list[Found]:
    """Reciprocal rank fusion (Cormack, Clarke, Büttcher: SIGIR 2009) with a weight for each ranking."""
    parts = [
        {found.document: weight / (retriever.constant + rank) for rank, found in enumerate(ranking, 1)}
        for ranking, weight in zip(rankings, retriever.weights, strict=True)
    ]
    return _sum(retriever, rankings, parts)


def linear(retriever: Linear, rankings: Sequence[Ranking]) -> list[Found]:
    """The weighted sum of normalised scores."""
    parts = []
    for ranking, weight, normaliser in zip(rankings, retriever.weights, retriever.normalisers, strict=True):
        scores = normalised([found.score for found in ranking], normaliser)
        parts.append({found.document: weight * score for found, score in zip(ranking, scores, strict=True)})
    return _sum(retriever, rankings, parts)


def normalised(scores: Sequence[float], normaliser: Normaliser) -> list[float]:
    """Scores of one ranking on a common scale; equal ones stay as they are, as the node leaves them."""
    if normaliser == "none" or not scores:
        return list(scores)
    if normaliser == "l2_norm":
        norm = math.sqrt(sum(score * score for score in scores))
        return [score / norm for score in scores] if norm > 0 else list(scores)
    least, span = min(scores), max(scores) - min(scores)
    return [(score - least) / span for score in scores] if span > 0 else list(scores)


def reranked(ranking: Ranking, logits: Sequence[float], name: str) -> list[Found]:
    """A ranking by a cross-encoder's logits; what was not scored (NaN) comes after, in its old order.

    The final score is the node's own of a logit: max(logit, 0) + min(e^logit, 1), which is never negative.
    The unscored are shifted below the last scored one.
    """
    scored = [
        Found(found.document, positive(logit), {**found.why, name: {"ce_score": logit}})
        for found, logit in zip(ranking, logits, strict=True)
        if not math.isnan(logit)
    ]
    scored.sort(key=lambda found: -found.score)
    left = [found for found, logit in zip(ranking, logits, strict=True) if math.isnan(logit)]
    if not scored:
        return list(ranking)
    floor, best = scored[-1].score, max((found.score for found in left), default=0.0)
    scale = floor / (2 * best) if best > 0 else 0.0
    return scored + [Found(found.document, found.score * scale, found.why) for found in left]


def positive(logit: float) -> float:
    """Elasticsearch's score of a reranker's logit: rising, above 0."""
    return max(logit, 0.0) + min(math.exp(min(logit, 0.0)), 1.0)


def _sum(
    retriever: Rrf | Linear, rankings: Sequence[Ranking], parts: Sequence[Mapping[Document, float]]
) -> list[Found]:
    scores: dict[Document, float] = {}
    why: dict[Document, dict[str, Any]] = {}
    for ranking, part in zip(rankings, parts, strict=True):
        for found in ranking:
            scores[found.document] = scores.get(found.document, 0.0) + part[found.document]
            why.setdefault(found.document, {}).update(found.why)
    # Equal scores: the order in which they were first found, which the sort keeps.
    fused = [Found(document, score, why[document]) for document, score in scores.items()]
    fused.sort(key=lambda found: -found.score)
    least = retriever.min_score
    kept = fused if least is None else [found for found in fused if found.score >= least]
    return kept[: retriever.window]
