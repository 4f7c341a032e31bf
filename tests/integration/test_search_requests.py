"""What a request can ask for: pages, legs with fields and boosts, stored queries, sparse weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from elasticsearch.helpers import bulk

from services.elastic import versions
from services.elastic.mapping import ServedSystem
from services.elastic.provenance import Provenance, text_fingerprint
from services.errors import NotFound, Unavailable, UsageError
from tests.integration.index_kit import QUERIES, passages
from tests.integration.search_kit import QUERY, RERANK, Asked, Double, ords


def only(ask: Asked, *legs: dict[str, Any], **more: Any) -> dict[int, float]:
    """Scores by ord."""
    found = ask.result({"query": QUERY, "legs": legs, "size": 300} | more)
    return {hit["ord"]: hit["score"] for hit in found.hits}


@pytest.mark.parametrize("more", [{}, {"fusion": "rrf"}, {"rerank": RERANK}], ids=["convex", "rrf", "rerank"])
def test_pages_are_pieces_of_one_list(ask: Asked, more: dict[str, Any]) -> None:
    models = Double()
    whole = ask.result({"query": QUERY, "size": 40} | more, models=models)
    pages = [
        ask.result({"query": QUERY, "size": 10, "from": at} | more, models=models) for at in range(0, 40, 10)
    ]
    hits = [hit for page in pages for hit in page.hits]
    assert [(hit["rank"], hit["ord"]) for hit in hits] == [(hit["rank"], hit["ord"]) for hit in whole.hits]
    assert [hit["score"] for hit in hits] == pytest.approx([hit["score"] for hit in whole.hits])


def test_a_page_beyond_the_last_hit_is_empty(ask: Asked) -> None:
    assert ask(**{"from": 5000})["hits"] == []


def test_of_several_fields_the_best_one_counts_with_its_boost(ask: Asked) -> None:
    title = only(ask, {"type": "bm25", "fields": ["title^3"]})
    text = only(ask, {"type": "bm25", "fields": ["text"]})
    both = only(ask, {"type": "bm25", "fields": ["title^3", "text"]})
    assert title
    assert both.keys() == title.keys() | text.keys()
    for o, value in both.items():
        assert value == pytest.approx(max(title.get(o, 0.0), text.get(o, 0.0)), rel=1e-5)


def test_a_long_text_scores_in_every_field_as_its_terms_do(ask: Asked) -> None:
    leg = {"type": "bm25", "fields": ["title^3", "text"]}
    short, long = only(ask, leg, query="red river"), only(ask, leg, query="red river " * 600)
    assert long == pytest.approx({o: 600 * value for o, value in short.items()}, rel=1e-4)


def test_legs_are_fused_as_they_are_asked_for(ask: Asked) -> None:
    legs = [{"type": "bm25", "fields": ["title"]}, {"type": "dense", "system": "tiny"}]
    answer = ask.result({"query": QUERY, "legs": legs, "explain": True})
    assert answer.mode == "hybrid"
    assert {tuple(hit["explain"]["legs"]) for hit in answer.hits} == {("bm25", "tiny")}


def test_a_stored_query_needs_no_encoder(ask: Asked) -> None:
    dead = Double(Unavailable("nobody answers"))
    encoded = ask.result({"query": QUERIES["q3"], "size": 50})
    stored = ask.result({"lookup": "q3", "size": 50}, models=dead)
    assert (stored.query, stored.degraded) == (QUERIES["q3"], [])
    assert [hit["ord"] for hit in stored.hits] == [hit["ord"] for hit in encoded.hits]
    legs = [{"type": "dense", "system": "tiny", "lookup": "q3"}]
    alone = ask.result({"query": QUERIES["q3"], "legs": legs}, models=dead)
    assert ords(alone.as_dict()) == ords(ask(QUERIES["q3"], mode="dense", systems=["tiny"]))


def test_a_query_that_is_not_stored_is_told(ask: Asked) -> None:
    with pytest.raises(NotFound, match="no stored query 'q99'"):
        ask.result({"lookup": "q99"})


def test_the_only_cross_encoder_is_meant_where_none_is_named_and_here_is_none(ask: Asked) -> None:
    with pytest.raises(UsageError, match="Installed are: none"):
        ask.result({"query": QUERY, "rerank": {}})


def test_a_version_that_was_removed_under_a_search_is_not_asked_again(ask: Asked, unique: str) -> None:
    collection = ask.bench.make(unique, passages(10))
    ask.bench.build(collection, job=11)
    first = ask.result({"query": "number 3"}, collection=unique)
    ask.bench.build(collection, job=12)
    versions.remove(ask.bench.client, versions.version(ask.bench.client, ask.bench.settings, unique, 1))
    second = ask.result({"query": "number 3"}, collection=unique)
    assert (first.index, second.index) == (f"msm-{unique}-passages-v1", f"msm-{unique}-passages-v2")
    assert ords(first.as_dict()) == ords(second.as_dict())


def test_a_sparse_leg_scores_by_the_dot_product_of_all_weights(ask: Asked, unique: str) -> None:
    terms = [f"t{n}" for n in range(40)]
    weights = np.random.default_rng(5).uniform(0, 3, (20, 40)) * (np.arange(40) % 3 > 0)
    system = ServedSystem(
        name="splade", slug="splade", dims=0, similarity="dot", fingerprint="f", model="m", kind="sparse"
    )
    settings, client = ask.bench.settings, ask.bench.client
    made = versions.allocate(client, settings, provenance(unique, system))
    bulk(client, (
        {"_op_type": "create", "_index": made.passages, "_id": f"p{n}", "pid": f"p{n}", "ord": n, "text": "x",
         "vectors": {"splade": {term: weight for term, weight in zip(terms, row, strict=True) if weight > 0}}}
        for n, row in enumerate(weights.tolist())
    ), refresh=True)  # fmt: skip
    versions.swap(client, settings, versions.mark(client, made, state="complete"))
    try:
        query = {"t1": 0.02, "t2": 2.5, "t5": 0.7}
        leg = {"type": "sparse", "system": "splade", "weights": query}
        answer = ask.result({"query": "", "legs": [leg], "size": 20}, collection=unique)
        assert answer.mode == "sparse"
        exact = sum(weight * weights[:, int(term[1:])] for term, weight in query.items())
        assert ords(answer.as_dict()) == np.argsort(-exact, kind="stable").tolist()
        # Elasticsearch keeps 9 significant bits of a weight.
        assert [hit["score"] for hit in answer.hits] == pytest.approx(
            sorted(exact, reverse=True), rel=1 / 128
        )
        fused = ask.result(
            {"query": "x", "legs": [{"type": "bm25"}, leg], "explain": True}, collection=unique
        )
        assert (fused.mode, fused.degraded) == ("hybrid", [])
    finally:
        versions.remove(client, made, orphan=True)


def provenance(collection: str, system: ServedSystem) -> Provenance:
    return Provenance(
        collection=collection, collection_version=1, passages_fingerprint="p", queries_fingerprint="q",
        text_fingerprint=text_fingerprint(), fields={}, systems={system.slug: system}, vector_index="hnsw",
        software_version="0", job=f"sparse-{collection}", created=versions.now(),
    )  # fmt: skip
