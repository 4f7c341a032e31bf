"""The gate: what a version must show before it is served.

It asks only what readers will ask, on the new version itself, so that it also warms it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from elasticsearch import Elasticsearch

from services.collections.collection import Collection, Ords
from services.collections.text import passage_text
from services.elastic import documents, knn, msearch, sparse
from services.elastic.errors import TooManyTerms, translated
from services.elastic.mapping import ServedSystem
from services.elastic.provenance import PROBE, PROBE_TERMS
from services.elastic.settle import shape
from services.elastic.terms import match, tokens
from services.elastic.versions import Version
from services.errors import CheckFailed

if TYPE_CHECKING:
    from services.encoding.vectors import TermWeights, Vectors
    from services.mining.ranking import Ranked

SAMPLE = 200
RECALL = 0.95
_DEPTH = 10
_OWN_WORDS = 32
_OWN_CHARACTERS = 500  # a "word" of a text without spaces may be all of it
_TIE = 1e-5
_ROUNDING = 0.004
"""Of term weights, of which Elasticsearch keeps nine significant bits."""


@dataclass(frozen=True)
class Check:
    """One check of the gate: `found` says in words what was measured."""

    name: str
    passed: bool
    found: str
    facts: dict[str, Any]


@dataclass(frozen=True)
class Gate:
    """Where the gate is run.

    Attributes:
        client: The build's client.
        collection: The state that the version was built from.
        version: The version in question.
        vectors: By slug, the vectors and term weights that it should hold.
        senders: Parallel requests.
        checkpoint: Called with 0 between steps.
    """

    client: Elasticsearch
    collection: Collection
    version: Version
    vectors: Mapping[str, Vectors | TermWeights]
    senders: int
    checkpoint: Callable[[int], None] = lambda rows: None

    def run(self) -> list[Check]:
        """All checks, in order; every one is run whatever the others say."""
        rows = self._rows(self._sampled(self.collection.live, "passages"))
        checks = [self.analysis(), self.shape(), self.counts(), self.same(rows), self.found(rows)]
        checks += [
            self.recall(self.version.meta.systems[slug], vectors) for slug, vectors in self.vectors.items()
        ]
        return [*checks, self.warm()]

    def analysis(self) -> Check:
        """The analyzer makes the terms that it must."""
        with translated(f"analysing with {self.version.passages}"):
            reply = self.client.indices.analyze(index=self.version.passages, field="text", text=PROBE)
        terms = tuple((token["token"], token["position"]) for token in reply["tokens"])
        return Check(
            "analysis",
            terms == PROBE_TERMS,
            f"{PROBE!r} gives {_terms(terms)}, not {_terms(PROBE_TERMS)}"
            if terms != PROBE_TERMS
            else f"{PROBE!r} gives {_terms(terms)}",
            {"terms": list(terms)},
        )

    def shape(self) -> Check:
        """One segment, nothing deleted."""
        segments, deleted = shape(self.client, self.version.passages)
        return Check(
            "segments",
            segments <= 1 and not deleted,
            f"{segments} segments, {deleted} deleted documents",
            {"segments": segments, "deleted": deleted},
        )

    def counts(self) -> Check:
        """As many documents as live passages and queries, less the refused rows."""
        with translated(f"counting {self.version.passages}"):
            passages = int(self.client.count(index=self.version.passages)["count"])
            queries = int(self.client.count(index=self.version.queries)["count"])
        state, dead = self.collection.state, self.version.meta.dead
        expected = state.live_passages + state.live_queries - dead
        passed = passages + queries == expected and (passages > 0 or not state.live_passages)
        words = (
            f"{passages:,} of {state.live_passages:,} passages, {queries:,} of {state.live_queries:,} queries"
            + (f", {dead:,} refused" if dead else "")
        )
        return Check("count", passed, words, {"passages": passages, "queries": queries, "dead": dead})

    def same(self, rows: list[dict[str, Any]]) -> Check:
        """Sampled passages are in the index as they are in the collection."""
        hits: list[dict[str, Any]] = []
        if rows:
            with translated(f"reading {self.version.passages}"):
                hits = self.client.search(
                    index=self.version.passages,
                    query={"terms": {"ord": [row["ord"] for row in rows]}},
                    size=len(rows),
                    source_excludes=["vectors"],
                    track_total_hits=False,
                )["hits"]["hits"]
        there = {hit["_source"]["ord"]: hit["_source"] for hit in hits}
        wrong = []
        for row in rows:
            expected, found = documents.passage(row), there.get(row["ord"])
            # Refused rows are the count check's affair.
            if found != expected and not (found is None and self.version.meta.dead):
                wrong.append(row["pid"])
        words = f"{len(rows) - len(wrong)} of {len(rows)} sampled passages are equal"
        return Check(
            "same text",
            not wrong,
            words + (f"; not: {', '.join(wrong[:3])}" if wrong else ""),
            {"sampled": len(rows), "wrong": len(wrong)},
        )

    def found(self, rows: list[dict[str, Any]]) -> Check:
        """Sampled passages are found by their own first words: at least half of these match.

        Rank would be no criterion: among short passages BM25 puts a very long one far down for its own words.
        """
        index = self.version.passages
        texts = [
            " ".join(passage_text(row["title"], row["text"]).split()[:_OWN_WORDS])[:_OWN_CHARACTERS]
            for row in rows
        ]
        queries = [
            {
                "bool": {
                    "must": [{"match": {"text": {"query": text, "minimum_should_match": "50%"}}}],
                    "filter": [{"term": {"ord": row["ord"]}}],
                }
            }
            for row, text in zip(rows, texts, strict=True)
        ]
        found = msearch.search(
            self.client, index, [msearch.trimmed(query, 1) for query in queries], 1, self.senders
        )
        # Words that the analyzer drops, all of them, find nothing.
        lost = [
            row["pid"]
            for row, text, (ords, _) in zip(rows, texts, found, strict=True)
            if not len(ords) and tokens(self.client, index, text)
        ]
        lost = lost[self.version.meta.dead :]
        words = f"{len(rows) - len(lost)} of {len(rows)} sampled passages are found by their own words"
        return Check(
            "own text",
            not lost,
            words + (f"; not: {', '.join(lost[:3])}" if lost else ""),
            {"sampled": len(rows), "lost": len(lost)},
        )

    def recall(self, system: ServedSystem, vectors: Vectors | TermWeights) -> Check:
        """The index finds what the exact product finds, with the settings that readers get."""
        exact, near, setting = self._both(system, vectors)
        tie = _TIE if system.kind == "dense" else _ROUNDING
        # A hit that scores as the last exact one is as good as it.
        hits = sum(
            int((scores >= truth.scores[-1] - tie * max(1.0, abs(truth.scores[-1]))).sum())
            for truth, (_, scores) in zip(exact, near, strict=True)
            if len(truth.scores)
        )
        wanted = sum(len(truth.ords) for truth in exact)
        empty = not wanted and bool(self.collection.state.live_passages)
        recall = 0.0 if empty else min(1.0, hits / wanted) if wanted else 1.0
        queries = bool(self.collection.state.live_queries)
        how = (
            "every term"
            if system.kind == "sparse"
            else f"{self.version.meta.vector_index}, num_candidates {setting['num_candidates']}"
        )
        asked = f"{len(exact)} {'queries' if queries else 'passages'}"
        words = f"recall@{_DEPTH} {recall:.4f} on {asked}"
        if empty:
            words = f"none of {asked} finds a passage: were they encoded?"
        return Check(
            search_of(system),
            recall >= RECALL,
            f"{words} ({how}), at least {RECALL} asked",
            {"recall@10": round(recall, 4), "queries": len(exact)} | setting,
        )

    def _both(
        self, system: ServedSystem, vectors: Vectors | TermWeights
    ) -> tuple[Sequence[Ranked], list[msearch.Hits], dict[str, Any]]:
        """What exact products find, what the index finds, and how it was asked."""
        from services.encoding.vectors import TermWeights
        from services.mining import dense
        from services.mining import sparse as products

        queries = self._sampled(self.collection.live_queries, "queries")
        places = queries if len(queries) else self._sampled(self.collection.live, "passages")
        live, index = self.collection.live, self.version.passages

        def beat() -> None:
            self.checkpoint(0)

        if isinstance(vectors, TermWeights):
            weights = (vectors.queries if len(queries) else vectors.passages).take(places)
            return (
                products.top_k(weights, vectors.passages, live, _DEPTH, beat),
                [
                    (np.empty(0, np.int32), np.empty(0, np.float32))
                    if isinstance(hits, TooManyTerms)
                    else hits
                    for hits in sparse.search(self.client, index, system, weights, _DEPTH, self.senders)
                ],
                {},
            )
        probes = (vectors.queries if len(queries) else vectors.passages).take(places)
        how = self.version.meta.vector_index
        return (
            dense.top_k(probes, vectors.passages.blocks(), live, _DEPTH, dense.compute_device("cpu"), beat),
            knn.search(self.client, index, system, how, probes, _DEPTH, self.senders),
            {"num_candidates": knn.num_candidates(_DEPTH), "oversample": knn.oversample(how, _DEPTH)},
        )

    def warm(self) -> Check:
        """Real queries by BM25, with the sources of their hits, so that the first reader does not wait."""
        queries = self._sampled(self.collection.live_queries, "queries")
        texts = self.collection.read_queries(0, self.collection.state.query_count, ["text"])["text"]
        index, began = self.version.passages, time.monotonic()
        bodies = [
            {"query": match(self.client, index, str(text)), "size": _DEPTH, "track_total_hits": False}
            for text in texts.take(pa.array(queries)).to_pylist()
        ]
        # A query that is too long for the node is answered too: it is the query's fault.
        answered = sum(1 for _ in msearch.outcomes(self.client, index, bodies, _DEPTH, self.senders))
        seconds = round(time.monotonic() - began, 3)
        return Check(
            "warm",
            answered == len(queries),
            f"{answered} queries answered in {seconds} s",
            {"queries": answered, "seconds": seconds},
        )

    def _sampled(self, live: Any, what: str) -> Ords:
        """At most 200 live positions, ascending: always the same for the same state."""
        there = np.flatnonzero(live).astype(np.int32)
        state = self.collection.state
        seed = int((state.passages_fingerprint if what == "passages" else state.queries_fingerprint)[:15], 16)
        chosen = np.random.default_rng(seed).choice(there, min(SAMPLE, len(there)), replace=False)
        return np.sort(chosen)

    def _rows(self, sample: Ords) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for part in self.collection.state.passages:
            inside = sample[(sample >= part.lo) & (sample < part.hi)]
            if len(inside):
                rows += (
                    self.collection.read_passages(part.lo, part.hi)
                    .take(pa.array(inside - part.lo))
                    .to_pylist()
                )
        return rows


def search_of(system: ServedSystem) -> str:
    """What the check of a system's search is called."""
    return f"{'terms' if system.kind == 'sparse' else 'kNN'} {system.name}"


def verdict(version: Version, checks: list[Check]) -> None:
    """Pass in silence, or say what failed and what to do.

    Raises:
        CheckFailed: a check did not pass.
    """
    failed = [f"{check.name}: {check.found}" for check in checks if not check.passed]
    if failed:
        raise CheckFailed(
            f"{version.passages} does not pass its gate: " + "; ".join(failed), hint=_hint(checks, version)
        )


def summary(checks: list[Check]) -> dict[str, Any]:
    """The checks as `_meta` and job results carry them."""
    return {check.name: {"passed": check.passed, "found": check.found} | check.facts for check in checks}


def _hint(checks: list[Check], version: Version) -> str:
    failed = {check.name for check in checks if not check.passed}
    where = f"--collection {version.collection}"
    if "analysis" in failed:
        return (
            "this node's `english` is not Lucene's EnglishAnalyzer: install es_plugin/ there (docs/index.md)"
        )
    if failed and all(name.startswith("kNN") for name in failed):
        return f"`msmctl index build {where} --vector-index hnsw`, or `flat`, which is exact"
    return f"`msmctl index rm v{version.n} {where} --yes`, then `msmctl index build {where} --force`"


def _terms(terms: tuple[tuple[str, int], ...]) -> str:
    return " ".join(f"{term}@{position}" for term, position in terms)
