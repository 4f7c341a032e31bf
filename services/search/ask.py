"""What the engine is asked once names are resolved, and what it answers: to API, gateway, evaluate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.deadline import Deadline
from services.search.failures import Failure
from services.search.fusion import Candidates, Fusion
from services.search.legs import Clause, Leg
from services.search.sample import Sample

Floats = npt.NDArray[np.float64]
Source = Mapping[str, Any]
"""The fields of a hit."""


@dataclass(frozen=True)
class Rerank:
    """Let a cross-encoder order the head.

    Attributes:
        model: Its name.
        window: How many of the fused ranking are scored, best first.
        field: Of the source: the passage's one text.
    """

    model: str
    window: int
    field: str = "text"


@dataclass(frozen=True)
class Ask:
    """A resolved question.

    `services.search.resolve.resolved` makes one of a `SearchRequest` and a version; `dataclasses.replace`
    brings in a caller's own legs, filters or index.

    Attributes:
        index: Where is searched; a concrete name, or an alias where the caller's rights hang on it.
        text: For encoders and the reranker.
        legs: At least one.
        fusion: Method; not asked where one leg answers alone.
        params: All its parameters.
        filters: Elasticsearch's clauses, for every leg.
        rerank: None: the fused order is final.
        size: Hits wanted.
        start: Hits passed over.
        depth: Candidates of every leg; None: as many as `size`, `start` and the window ask for, 100 at least.
        source: Fields that are fetched with the texts for the reranker.
        sample: Of the index, where the method sees scores against it.
        chosen: Whether the choice that is saved for the collection filled in what the request left open.
        failures: What the answer lacks whatever the legs bring: the store did not tell it.
        deadline: For the whole request.
        version: The concrete index, whose analyzer counts; empty: `index` is it.
    """

    index: str
    text: str
    legs: tuple[Leg, ...]
    fusion: Fusion
    params: Mapping[str, float]
    filters: tuple[Clause, ...] = ()
    rerank: Rerank | None = None
    size: int = 10
    start: int = 0
    depth: int | None = None
    source: tuple[str, ...] = ()
    sample: Sample | None = None
    chosen: bool = False
    failures: tuple[Failure, ...] = ()
    deadline: Deadline = Deadline()  # noqa: RUF009 - frozen
    version: str = ""


@dataclass(frozen=True)
class Fused:
    """One text's candidates in fused order: by (-score, ord).

    Attributes:
        rows: int64 [n], row of each in `candidates`, `normalised`.
        scores: float64 [n], fused; the leg's own where one leg answers alone.
        candidates: What the legs brought, and every true score that is known.
        normalised: float64 [candidates, legs], on the method's scale; the scores where there is one leg.
        weights: float64 [legs].
    """

    rows: npt.NDArray[np.int64]
    scores: Floats
    candidates: Candidates
    normalised: Floats
    weights: Floats

    @property
    def ords(self) -> npt.NDArray[np.int32]:
        """int32 [n]."""
        return self.candidates.ords[self.rows]


@dataclass(frozen=True)
class Timing:
    """Milliseconds: query vectors, legs, missing true scores, reranking with its texts, the hits' sources."""

    encode: float = 0.0
    legs: float = 0.0
    scores: float = 0.0
    rerank: float = 0.0
    fetch: float = 0.0


@dataclass(frozen=True)
class Ranked:
    """One page of an answer.

    Attributes:
        ords: int32 [hits].
        scores: float64 [hits], by which they are in order, never rising: logits where reranked, else fused
            scores; those after a reranked head are shifted below it.
        places: int64 [hits], each hit's place in `fused`, from 0.
        ce_scores: float64 [hits], raw logits; NaN where not scored.
        start: Hits passed over.
        fused: The whole fused ranking.
        method: Name of the fusion; None where one leg answered alone.
        params: Its parameters.
        reranked: How many of the head were scored.
        degraded: What is missing, as `<leg, "choice", "scores", "rerank" or "encode:<system>">:<timeout,
            overloaded, unavailable, error or partial>`.
        notes: The same for people.
        sources: By ord, what was fetched for the reranker.
        timing: Where the time went.
    """

    ords: npt.NDArray[np.int32]
    scores: Floats
    places: npt.NDArray[np.int64]
    ce_scores: Floats
    start: int
    fused: Fused
    method: str | None
    params: Mapping[str, float]
    reranked: int
    degraded: tuple[str, ...]
    notes: tuple[str, ...]
    sources: Mapping[int, Source]
    timing: Timing

    @property
    def legs(self) -> Sequence[str]:
        """Names of the legs that answered."""
        return [leg.name for leg in self.fused.candidates.legs]

    def explain(self, place: int) -> dict[str, Any]:
        """How the hit at a place of this page came about; see `services.search.explain`."""
        from services.search.explain import explain

        return explain(self, place)
