"""The search: legs in one `_msearch`, missing scores in a second, fusion here, then the hits' texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from elasticsearch import Elasticsearch

from services.elastic import msearch, versions
from services.elastic.errors import translated
from services.elastic.mapping import ServedSystem
from services.elastic.msearch import Hits
from services.elastic.versions import Version
from services.errors import NotFound
from services.search.explain import explain
from services.search.fusion import Candidates, fusion_named
from services.search.legs import AnyLeg, Clause, Dense, Lexical
from services.search.request import DEPTH, SearchRequest
from services.settings import Settings

Encode = Callable[[ServedSystem, Sequence[str]], npt.NDArray[np.float32]]
"""Query vectors: (system, texts) -> float32 [texts, dims]."""


@dataclass(frozen=True)
class Ranking:
    """One query's fused ranking, sorted by (-score, ord), and what it was made of.

    Attributes:
        ords: int32 [n].
        scores: float64 [n], fused; the leg's own score where there is only one leg.
        rows: int64 [n], the row of each hit in `candidates` and `normalised`.
        candidates: What the legs brought.
        normalised: float64 [candidates, legs], on the method's scale; the scores where there is one leg.
        weights: float64 [legs].
    """

    ords: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float64]
    rows: npt.NDArray[np.int64]
    candidates: Candidates
    normalised: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]


@dataclass(frozen=True)
class SearchResult:
    """An answer. `as_dict` is what `msmctl search --json` prints (docs/search.md).

    Attributes:
        mode: What answered: `bm25` where `hybrid` was asked and no dense system is served.
        fusion: The method; None where one leg answered alone.
        took_ms: Milliseconds for legs, fusion and texts.
        encode_ms: Milliseconds for the query's vectors, the first time with the loading of models.
        hits: `rank`, `pid`, `ord`, `score`, `title`, `text`, `meta`, and `explain` where it was asked for.
    """

    query: str
    collection: str
    index: str
    mode: str
    fusion: str | None
    took_ms: float
    encode_ms: float
    hits: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return dict(vars(self))


@dataclass(frozen=True)
class Engine:
    """Searches the served index of collections.

    Attributes:
        client: Any user that may read the indices.
        settings: For names and parallel requests.
        encode: Where query vectors come from; needed for dense legs only.
    """

    client: Elasticsearch
    settings: Settings
    encode: Encode

    def search(self, request: SearchRequest, *, explained: bool = False) -> SearchResult:
        """Answer one request.

        Args:
            request: What is asked.
            explained: Add to every hit how it came about.

        Raises:
            NotFound: the collection has no served index, or `dense` is asked and no system is served.
            UsageError: an unknown filter field, fusion method or parameter.
        """
        version = versions.version(self.client, self.settings, request.collection)
        began = time.monotonic()
        legs, notes = self._legs(version, request, [request.query])
        encoded = time.monotonic()
        ranking = self._rank(version, legs, request, [request.query], request.size)[0]
        sources = self._sources(version, ranking.ords)
        hits: list[dict[str, Any]] = []
        for n, (o, score) in enumerate(zip(ranking.ords.tolist(), ranking.scores.tolist(), strict=True)):
            source = sources[o]
            hit = {
                "rank": n + 1,
                "pid": source["pid"],
                "ord": o,
                "score": score,
                "title": source.get("title"),
                "text": source["text"],
                "meta": source.get("meta", {}),
            }
            hits.append(hit | ({"explain": explain(ranking, n, request)} if explained else {}))
        mode = request.mode if len(legs) > 1 or isinstance(legs[0], Dense) else "bm25"
        return SearchResult(
            query=request.query,
            collection=request.collection,
            index=version.passages,
            mode=mode,
            fusion=request.fusion if len(legs) > 1 else None,
            took_ms=round((time.monotonic() - encoded) * 1000, 1),
            encode_ms=round((encoded - began) * 1000, 1),
            hits=hits,
            notes=notes,
        )

    def search_many(self, request: SearchRequest, texts: Sequence[str], k: int) -> list[Hits]:
        """The k best passages for each of many texts, as `evaluate` and mining want them.

        Args:
            request: As for `search`; its `query` and `size` do not count.
            texts: The queries.
            k: How deep, at most 10,000.

        Returns:
            Per text: ords int32, scores float32, sorted by (-score, ord).
        """
        version = versions.version(self.client, self.settings, request.collection)
        legs, _ = self._legs(version, request, texts)
        return [
            (ranking.ords, ranking.scores.astype(np.float32))
            for ranking in self._rank(version, legs, request, texts, k)
        ]

    # -- legs --------------------------------------------------------------------------------------

    def _legs(
        self, version: Version, request: SearchRequest, texts: Sequence[str]
    ) -> tuple[list[AnyLeg], list[str]]:
        legs: list[AnyLeg] = [] if request.mode == "dense" else [Lexical(self.client, version)]
        if request.mode == "bm25":
            return legs, []
        systems = _asked(version, request)
        if not systems and request.mode == "dense":
            raise NotFound(
                f"{version.passages} serves no dense system",
                hint=f"`msmctl index build --collection {request.collection} --system SYSTEM`",
            )
        unique = list(dict.fromkeys(texts))
        for system in systems:
            vectors = self.encode(system, unique) if unique else np.empty((0, system.dims), np.float32)
            legs.append(Dense(version, system, dict(zip(unique, vectors, strict=True))))
        return legs, [] if systems else ["no dense system is served: this is BM25 alone"]

    def _rank(
        self, version: Version, legs: list[AnyLeg], request: SearchRequest, texts: Sequence[str], k: int
    ) -> list[Ranking]:
        method, params = fusion_named(request.fusion, request.params)
        filters = [condition.clause(version.meta.fields) for condition in request.filters]
        depth = max(DEPTH, k) if len(legs) > 1 else k
        lists = self._ask(version, [(leg, text, filters) for text in texts for leg in legs], depth)
        tables = [_table(legs, lists[at : at + len(legs)]) for at in range(0, len(lists), len(legs))]
        if len(legs) > 1 and method.needs_scores:
            self._complete(version, legs, texts, tables)
        if len(legs) == 1:
            return [_ranking(table, table.scores, np.ones(1), k) for table in tables]
        weights = method.weights(tables[0].legs, params) if tables else np.empty(0)
        return [_ranking(table, method.normalised(table, params), weights, k) for table in tables]

    def _ask(
        self, version: Version, asked: Sequence[tuple[AnyLeg, str, Sequence[Clause]]], k: int
    ) -> list[Hits]:
        bodies = [msearch.trimmed(leg.query(text, filters, k), k) for leg, text, filters in asked]
        hits = msearch.search(self.client, version.passages, bodies, k, self.settings.senders)
        return [leg.hits(found) for (leg, _, _), found in zip(asked, hits, strict=True)]

    def _complete(
        self, version: Version, legs: list[AnyLeg], texts: Sequence[str], tables: list[Candidates]
    ) -> None:
        """Fill in, in place, the true score of every candidate that a leg did not list."""
        asked, places = [], []
        for table, text in zip(tables, texts, strict=True):
            for column, leg in enumerate(legs):
                missing = table.ords[np.isnan(table.scores[:, column])]
                if len(missing):
                    asked.append((leg, text, [{"terms": {"ord": missing.tolist()}}]))
                    places.append((table, column, missing))
        most = max((len(missing) for _, _, missing in places), default=0)
        answers = self._ask(version, asked, most) if asked else []
        for (table, column, missing), (ords, scores) in zip(places, answers, strict=True):
            table.scores[np.searchsorted(table.ords, missing), column] = legs[column].unmatched
            table.scores[np.searchsorted(table.ords, ords), column] = scores

    def _sources(self, version: Version, ords: npt.NDArray[np.int32]) -> dict[int, dict[str, Any]]:
        if not len(ords):
            return {}
        with translated(f"reading {version.passages}"):
            reply = self.client.search(
                index=version.passages,
                query={"terms": {"ord": ords.tolist()}},
                size=len(ords),
                source_excludes=["vectors"],
                track_total_hits=False,
            )
        return {hit["_source"]["ord"]: hit["_source"] for hit in reply["hits"]["hits"]}


def _asked(version: Version, request: SearchRequest) -> list[ServedSystem]:
    there = {system.name: system for system in version.meta.systems.values()}
    unknown = [name for name in request.systems if name not in there]
    if unknown:
        raise NotFound(
            f"{version.passages} does not serve '{unknown[0]}' (it serves: {', '.join(there) or 'none'})",
            hint=f"`msmctl index build --collection {request.collection} --system {unknown[0]}`",
        )
    return [there[name] for name in request.systems] if request.systems else list(there.values())


def _table(legs: Sequence[AnyLeg], lists: Sequence[Hits]) -> Candidates:
    """Put the legs' lists side by side."""
    ords = np.unique(np.concatenate([found for found, _ in lists])).astype(np.int32)
    ranks = np.zeros((len(ords), len(legs)), np.int32)
    scores = np.full((len(ords), len(legs)), np.nan)
    for column, (found, values) in enumerate(lists):
        rows = np.searchsorted(ords, found)
        ranks[rows, column] = np.arange(1, len(found) + 1)
        scores[rows, column] = values
    return Candidates(tuple(leg.leg for leg in legs), ords, ranks, scores)


def _ranking(
    table: Candidates, normalised: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], k: int
) -> Ranking:
    fused = normalised @ weights
    rows = np.lexsort((table.ords, -fused))[:k]
    return Ranking(table.ords[rows], fused[rows], rows, table, normalised, weights)
