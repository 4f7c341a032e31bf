"""Searches with `ext.msmctl`: what is fused, fetched, counted, refused."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import MODEL, Sample
from tests.integration.gateway.ends import Ends, by_rrf, ids


def test_a_hybrid_search_is_the_fusion_of_what_the_node_finds(
    ends: Ends, sample: Sample, vector_field: str
) -> None:
    alias = f"msm-{sample.name}"
    node, through = ends.both("reader")
    stored = {"index": f"{alias}-queries", "id": "e1", "path": vector_field}
    text = node.get(index=f"{alias}-queries", id="e1")["_source"]["text"]
    wanted = {"term": {"meta.topic": "nature"}}
    lexical = node.search(
        index=alias, size=100, query={"bool": {"must": {"match": {"text": text}}, "filter": wanted}}
    )
    nearest = {"field": vector_field, "k": 100, "num_candidates": 200, "filter": wanted}
    dense = node.search(
        index=alias, size=100, query={"knn": nearest | {"query_vector_builder": {"lookup": stored}}}
    )
    answer = through.search(
        index=alias,
        query={"bool": {"must": {"match": {"text": text}}, "filter": wanted}},
        size=5,
        from_=1,
        source=["title"],
        highlight={"fields": {"text": {}}},
        aggs={"topics": {"terms": {"field": "meta.topic"}}},
        ext={"msmctl": {"fusion": "rrf"}},
    ).body
    expected = by_rrf(ids(lexical), ids(dense))[1:6]
    assert {hit["_id"]: pytest.approx(hit["_score"]) for hit in answer["hits"]["hits"]} == dict(expected)
    scores = [hit["_score"] for hit in answer["hits"]["hits"]]
    assert scores == sorted(scores, reverse=True)
    assert answer["hits"]["total"] == lexical["hits"]["total"]
    assert answer["timed_out"] is False
    assert answer["_shards"]["failed"] == 0
    bucket = answer["aggregations"]["topics"]["buckets"]
    assert bucket == [{"key": "nature", "doc_count": lexical["hits"]["total"]["value"]}]
    first = answer["hits"]["hits"][0]
    assert set(first) == {"_index", "_id", "_score", "_source", "fields", "highlight"} - (
        set() if "highlight" in first else {"highlight"}
    )
    assert set(first["_source"]) == {"title"}
    [why] = first["fields"]["msmctl"]
    assert why["rank"] == 2
    assert set(why["legs"]) == {"bm25", MODEL}
    assert any("<em>" in hit["highlight"]["text"][0] for hit in answer["hits"]["hits"] if "highlight" in hit)


def test_a_cross_encoder_orders_the_head(ends: Ends, sample: Sample, reranker: tuple[str, Path]) -> None:
    body = {"query": {"match": {"text": "water"}}, "size": 20}
    ext = {"ext": {"msmctl": {"rerank": {"model": reranker[0], "window": 5}}}}
    _, headers, answer = ends.ask(f"/msm-{sample.name}/_search", body | ext)
    assert "warning" not in headers
    told = [hit["fields"]["msmctl"][0]["ce_score"] for hit in answer["hits"]["hits"]]
    assert told[:5] == sorted(told[:5], reverse=True)
    assert set(told[5:]) == {None}
    scores = [hit["_score"] for hit in answer["hits"]["hits"]]
    assert scores == sorted(scores, reverse=True)


def test_filters_of_ext_narrow_hits_totals_and_aggregations(ends: Ends, sample: Sample) -> None:
    asked = {"query": {"match": {"text": "water"}}, "aggs": {"topics": {"terms": {"field": "meta.topic"}}}}
    path = f"/msm-{sample.name}/_search"
    _, _, answer = ends.ask(path, asked | {"ext": {"msmctl": {"filters": ["topic=nature"]}}})
    wanted = {"bool": {"must": asked["query"], "filter": {"term": {"meta.topic": "nature"}}}}
    expected = ends.client(ends.node).search(index=f"msm-{sample.name}", query=wanted, aggs=asked["aggs"])
    assert answer["hits"]["total"] == expected["hits"]["total"]
    assert answer["aggregations"] == expected["aggregations"]


def test_post_filter_narrows_the_hits_and_not_the_aggregations(ends: Ends, sample: Sample) -> None:
    _, _, answer = ends.ask(
        f"/msm-{sample.name}/_search",
        {
            "query": {"match": {"text": "water"}},
            "post_filter": {"term": {"meta.topic": "nature"}},
            "aggs": {"topics": {"terms": {"field": "meta.topic"}}},
            "fields": ["meta.topic"],
            "ext": {"msmctl": {}},
        },
        "reader",
    )
    assert {hit["fields"]["meta.topic"][0] for hit in answer["hits"]["hits"]} == {"nature"}
    assert len(answer["aggregations"]["topics"]["buckets"]) > 1


def test_url_parameters_shape_the_answer(ends: Ends, sample: Sample) -> None:
    wanted = (
        "filter_path=hits.total,hits.hits._id,aggregations&rest_total_hits_as_int=true&typed_keys=true&size=1"
    )
    body = {"query": {"match": {"text": "water"}}, "aggs": {"t": {"terms": {"field": "meta.topic"}}}}
    _, _, answer = ends.ask(
        f"/msm-{sample.name}/_search?{wanted}", body | {"ext": {"msmctl": {"explain": False}}}
    )
    assert isinstance(answer["hits"]["total"], int)
    assert [set(hit) for hit in answer["hits"]["hits"]] == [{"_id"}]
    assert list(answer["aggregations"]) == ["sterms#t"]


def test_a_page_without_hits_still_counts(ends: Ends, sample: Sample) -> None:
    body = {"query": {"match": {"text": "water"}}, "size": 0, "ext": {"msmctl": {}}}
    _, _, answer = ends.ask(f"/msm-{sample.name}/_search", body)
    assert answer["hits"]["hits"] == []
    assert answer["hits"]["total"]["value"] > 0


def test_a_late_model_degrades_the_answer_and_says_so(ends: Ends, sample: Sample) -> None:
    body = {"query": {"match": {"text": f"water {uuid.uuid4().hex}"}}, "ext": {"msmctl": {"budget_ms": 1}}}
    deadline = time.monotonic() + 20
    while True:  # with one millisecond the legs may be late, too: then nothing is left, and that is a 503
        status, headers, answer = ends.ask(f"/msm-{sample.name}/_search", body)
        assert status in (200, 503)
        body["ext"]["msmctl"]["budget_ms"] *= 2  # type: ignore[index, operator]
        if status == 200 or time.monotonic() > deadline:
            break
    assert status == 200
    if "warning" in headers:
        assert headers["warning"].startswith('299 msmctl "degraded: ')
        assert all(hit["fields"]["msmctl"][0]["degraded"] for hit in answer["hits"]["hits"])


@pytest.mark.parametrize(
    ("index", "more", "told"),
    [
        ("{alias}", {"sort": ["meta.chapter"], "collapse": {"field": "meta.topic"}}, "[collapse], [sort]"),
        ("{alias}", {"search_after": [1]}, "[search_after]"),
        ("{alias}", {"knn": {"field": "v"}}, "[knn]"),
        ("{alias}", {"ext": {"msmctl": {"fusion": "made-up"}}}, "unknown fusion"),
        ("{alias}", {"ext": {"msmctl": {"mode": "dense", "systems": ["made-up"]}}}, "made-up"),
        ("{alias}", {"query": {"made_up": {}}, "ext": {"msmctl": {"query": "tide"}}}, "made_up"),
        ("{alias}-queries", {}, "queries"),
        ("msm-*", {}, "name the alias"),
        ("_all", {}, "name the alias"),
    ],
)
def test_what_cannot_be_done_is_a_native_error_that_names_it(
    ends: Ends, sample: Sample, index: str, more: dict[str, Any], told: str
) -> None:
    body = {"query": {"match": {"text": "tide"}}, "ext": {"msmctl": {}}} | more
    status, headers, answer = ends.ask(f"/{index.format(alias=f'msm-{sample.name}')}/_search", body)
    assert 400 <= status < 405
    assert answer["status"] == status
    assert headers["x-elastic-product"] == "Elasticsearch"
    assert told in json.dumps(answer["error"])


def test_a_long_text_needs_no_more_rights_than_a_short_one(ends: Ends, sample: Sample) -> None:
    _, through = ends.both("reader")
    text = "sea " + " ".join(f"word{n}" for n in range(1_500))
    answer = through.search(
        index=f"msm-{sample.name}", ext={"msmctl": {"query": text, "mode": "bm25"}}, size=3
    ).body
    short = through.search(index=f"msm-{sample.name}", query={"match": {"text": "sea"}}).body
    assert answer["hits"]["total"] == short["hits"]["total"]
    assert answer["hits"]["total"]["value"] > 0


def test_named_queries_tell_which_of_them_a_hit_fulfils(ends: Ends, sample: Sample) -> None:
    named = {"match": {"text": {"query": "sea water", "_name": "words"}}}
    query = {"bool": {"must": named, "should": {"term": {"meta.topic": {"value": "nature", "_name": "n"}}}}}
    node, through = ends.both("reader")
    expected = node.search(index=f"msm-{sample.name}", query=query, size=50).body
    answer = through.search(
        index=f"msm-{sample.name}", query=query, size=50, ext={"msmctl": {"mode": "bm25"}}
    )
    told = {hit["_id"]: set(hit["matched_queries"]) for hit in answer.body["hits"]["hits"]}
    assert told == {hit["_id"]: set(hit["matched_queries"]) for hit in expected["hits"]["hits"]}
    assert {"n", "words"} in told.values()


def test_a_stored_query_needs_no_text(ends: Ends, sample: Sample) -> None:
    through = ends.client(ends.gateway, "reader")
    alias = f"msm-{sample.name}"
    text = through.get(index=f"{alias}-queries", id="e1")["_source"]["text"]
    ext = {"fusion": "rrf", "mode": "hybrid"}
    stored = through.search(index=alias, ext={"msmctl": ext | {"lookup": "e1"}})
    written = through.search(index=alias, query={"match": {"text": text}}, ext={"msmctl": ext})
    assert ids(stored) == ids(written)
    assert stored["hits"]["total"] == written["hits"]["total"]
