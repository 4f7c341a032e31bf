"""The gateway's pure parts: what a query asks, what a body may say, trees of retrievers, their fusion."""

from __future__ import annotations

import gzip
import math
from typing import Any

import pytest

from services.gateway import body, fusing, headers, multi, params, question, retriever, target
from services.gateway.filter_path import filtered
from services.gateway.fusing import Found
from services.gateway.hybrid import requested
from services.gateway.looking import LONGEST, unpacked
from services.gateway.native import Refused
from services.gateway.retriever import Linear, Reranker, Rrf

NOTHING = params.Params()


def reason(refused: pytest.ExceptionInfo[Refused]) -> str:
    assert refused.value.status == 400
    error = refused.value.body["error"]
    assert error["root_cause"] == [{"type": error["type"], "reason": error["reason"]}]
    return str(error["reason"])


def nested(depth: int) -> dict[str, Any]:
    query: dict[str, Any] = {"match": {"text": "deep"}}
    for _ in range(depth):
        query = {"bool": {"must": [query]}}
    return query


# -- the path --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "kind", "index"),
    [
        ("POST", b"/_search", "_search", None),
        ("GET", b"/msm-squad/_search", "_search", "msm-squad"),
        ("POST", b"/a%2Cb/_msearch/", "_msearch", "a,b"),
        ("POST", b"/msm-*/_async_search", "_async_search", "msm-*"),
    ],
)
def test_a_search_is_known_by_its_last_segment(
    method: str, path: bytes, kind: str, index: str | None
) -> None:
    assert target.of(method, path) == target.Target(kind, index)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", b"/i/_doc/_search"),
        ("POST", b"/i/_search/template"),
        ("POST", b"/_search/scroll"),
        ("DELETE", b"/_async_search/id"),
        ("PUT", b"/i/_search"),
        ("POST", b"/i/_searches"),
        ("GET", b"/"),
    ],
)
def test_nothing_else_is_looked_at(method: str, path: bytes) -> None:
    assert target.of(method, path) is None


# -- the words -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"match": {"text": "oil crisis"}}, "oil crisis"),
        ({"match": {"text": {"query": "oil crisis", "operator": "and"}}}, "oil crisis"),
        ({"multi_match": {"query": "oil", "fields": ["a", "b"]}}, "oil"),
        ({"query_string": {"query": "oil AND crisis"}}, "oil AND crisis"),
        ({"bool": {"must": {"simple_query_string": {"query": "oil"}}, "filter": {"term": {"x": 1}}}}, "oil"),
        ({"bool": {"filter": [{"bool": {"should": [{"match": {"text": "oil"}}]}}]}}, "oil"),
        ({"function_score": {"query": {"match": {"text": "oil"}}, "functions": []}}, "oil"),
        ({"dis_max": {"queries": [{"match": {"text": "oil"}}, {"term": {"x": "y"}}]}}, "oil"),
        ({"bool": {"must": {"match": {"text": "oil"}}, "must_not": {"match": {"text": "gas"}}}}, "oil"),
        (nested(5_000), "deep"),
    ],
)
def test_the_only_text_of_a_query_is_found_wherever_it_stands(query: dict[str, Any], text: str) -> None:
    assert question.only_text(query) == text


@pytest.mark.parametrize(
    "query",
    [
        None,
        {},
        [],
        "text",
        7,
        {"match_all": {}},
        {"match": {"year": 1999}},
        {"match": {}},
        {"match": None},
        {"match": {"text": {"query": None}}},
        {"query_string": {"query": "*"}},
        {"term": {"match": {"value": "oil"}}},
        {"bool": {"should": [{"match": {"title": "oil"}}, {"match": {"text": "oil"}}]}},
        {"bool": {"must_not": {"match": {"text": "oil"}}}},
    ],
)
def test_no_text_or_several_are_no_question(query: Any) -> None:
    assert question.only_text(query) is None


def test_filters_and_negations_are_conditions() -> None:
    query = {
        "bool": {
            "must": {"match": {"text": "oil"}},
            "filter": {"term": {"meta.topic": "x"}},
            "must_not": [{"term": {"meta.topic": "y"}}],
        }
    }
    assert question.conditions(query) == [
        {"term": {"meta.topic": "x"}},
        {"bool": {"must_not": [{"term": {"meta.topic": "y"}}]}},
    ]


@pytest.mark.parametrize("part", [7, "x", [7], [{"a": 1}, None]])
def test_what_is_no_clause_is_told(part: Any) -> None:
    with pytest.raises(Refused) as refused:
        question.conditions({"bool": {"filter": part}})
    assert "bool.filter" in reason(refused)


@pytest.mark.parametrize(
    ("query", "ranks"),
    [
        ({"match": {"text": "oil"}}, True),
        ({"bool": {"should": [{"match": {"text": "oil"}}]}}, True),
        ({"bool": {"filter": [{"match": {"text": "oil"}}]}}, False),
        ({"bool": {"must": [{"match_all": {}}], "filter": []}}, False),
        ({"match_all": {}}, False),
        (None, False),
    ],
)
def test_a_query_ranks_when_it_scores(query: Any, ranks: bool) -> None:
    assert question.scores(query) is ranks


def test_the_words_of_kibanas_search_bar_are_scored() -> None:
    kql = {
        "bool": {
            "must": [],
            "filter": [
                {"multi_match": {"query": "oil crisis", "type": "best_fields"}},
                {"exists": {"field": "title"}},
            ],
            "must_not": [],
        }
    }
    assert question.lifted(kql)["bool"] == {
        "must": [{"multi_match": {"query": "oil crisis", "type": "best_fields"}}],
        "filter": [{"exists": {"field": "title"}}],
        "must_not": [],
    }


# -- the body --------------------------------------------------------------------------------------


def test_keys_that_an_answer_cannot_follow_are_all_named() -> None:
    given = {"sort": [{"year": "asc"}], "collapse": {"field": "x"}, "knn": {"field": "v"}, "made_up": 1}
    with pytest.raises(Refused) as refused:
        body.read(given, NOTHING, "ext.msmctl")
    assert reason(refused).startswith("[ext.msmctl] cannot be used with [collapse], [knn], [made_up], [sort]")


@pytest.mark.parametrize(
    "key", ["search_after", "pit", "rescore", "suggest", "slice", "min_score", "terminate_after", "retriever"]
)
def test_no_unsupported_key_is_passed_over(key: str) -> None:
    with pytest.raises(Refused) as refused:
        body.read({key: [{"a": 1}]}, NOTHING, "ext.msmctl")
    assert f"[{key}]" in reason(refused)


@pytest.mark.parametrize("query", [b"scroll=1m", b"q=oil", b"made_up=1", b"sort=year:asc", b"explain=true"])
def test_parameters_of_the_url_are_not_passed_over_either(query: bytes) -> None:
    with pytest.raises(Refused) as refused:
        body.read({}, params.parse(query), "ext.msmctl")
    assert f"[{query.partition(b'=')[0].decode()}]" in reason(refused)


@pytest.mark.parametrize(
    "sort", ["_score", ["_score"], [{"_score": "desc"}], [{"_score": {"order": "desc"}}]]
)
def test_a_sort_by_score_says_what_holds_anyway(sort: Any) -> None:
    assert body.read({"sort": sort}, NOTHING, "ext.msmctl").size == 10


def test_empty_values_ask_for_nothing() -> None:
    given = {
        "script_fields": {},
        "runtime_mappings": {},
        "indices_boost": [],
        "explain": False,
        "collapse": None,
    }
    assert body.read(given, NOTHING, "ext.msmctl").query is None


def test_the_url_wins_over_the_body() -> None:
    said = params.parse(
        b"size=3&from=2&_source_includes=a,b&_source_excludes=c&track_total_hits=false&preference=_local"
    )
    read = body.read({"size": 7, "_source": True}, said, "ext.msmctl")
    assert (read.start, read.size) == (2, 3)
    assert read.fetch == {"_source": {"includes": ["a", "b"], "excludes": ["c"]}}
    assert read.count == {"track_total_hits": False}
    assert said.index == {"preference": "_local"}


@pytest.mark.parametrize(
    "given",
    [
        {"size": -1}, {"size": "many"}, {"size": "\u00b2"}, {"size": "9" * 5_000},
        {"size": 1.5}, {"size": True}, {"from": 9_999, "size": 2},
        {"query": []}, {"query": "oil"}, {"post_filter": 3}, {"timeout": "soon"}, [], "x", 3, None,
    ],
)  # fmt: skip
def test_wrong_types_are_a_400(given: Any) -> None:
    with pytest.raises(Refused) as refused:
        body.read(given, NOTHING, "ext.msmctl")
    assert reason(refused)


def test_a_body_too_deep_to_be_written_again_is_a_400() -> None:
    with pytest.raises(Refused) as refused:
        body.read({"query": nested(505)}, NOTHING, "ext.msmctl")
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("ext", "told"),
    [
        ([], "is an object"),
        ({"size": 3}, "[size]"),
        ({"fusion": 7}, "fusion"),
        ({"made_up": 1}, "made_up"),
        ({"rerank": {"window": 0}}, "rerank.window"),
        ({"mode": "best"}, "mode"),
    ],
)
def test_what_ext_says_wrongly_is_named(ext: Any, told: str) -> None:
    read = body.read({"query": {"match": {"text": "oil"}}}, NOTHING, "ext.msmctl")
    with pytest.raises(Refused) as refused:
        requested(ext, read)
    assert told in reason(refused)


def test_a_text_must_be_told() -> None:
    with pytest.raises(Refused) as refused:
        requested({}, body.read({"query": {"match_all": {}}}, NOTHING, "ext.msmctl"))
    assert "there are 0" in reason(refused)
    given = body.read({"query": {"match_all": {}}, "size": 3, "from": 6}, NOTHING, "ext.msmctl")
    request = requested({"query": "oil", "fusion": "rrf"}, given)
    assert (request.query, request.fusion, request.size, request.start) == ("oil", "rrf", 3, 6)


# -- retriever trees -------------------------------------------------------------------------------

STANDARD: dict[str, Any] = {"standard": {"query": {"match": {"text": "oil"}}}}
KNN: dict[str, Any] = {"knn": {"field": "v", "query_vector": [1, 2], "k": 5, "num_candidates": 10}}


def test_defaults_of_rrf_are_elasticsearchs() -> None:
    tree = retriever.read({"rrf": {"retrievers": [STANDARD, KNN]}})
    assert isinstance(tree, Rrf)
    assert (tree.constant, tree.window, tree.weights) == (60, 10, (1.0, 1.0))
    assert [leaf.name for leaf in retriever.leaves(tree)] == ["0.standard", "1.knn"]


def test_trees_nest_and_filters_reach_every_leaf() -> None:
    inner = {"rrf": {"retrievers": [STANDARD, KNN], "rank_window_size": 50, "filter": {"term": {"a": 1}}}}
    tree = retriever.read(
        {
            "text_similarity_reranker": {
                "retriever": {"linear": {"retrievers": [{"retriever": inner, "weight": 2}, KNN]}},
                "field": "text", "inference_text": "oil", "filter": [{"term": {"b": 2}}],
            }
        }
    )  # fmt: skip
    assert isinstance(tree, Reranker)
    leaves = list(retriever.leaves(tree))
    assert [leaf.name for leaf in leaves] == ["0.0.0.standard", "0.0.1.knn", "0.1.knn"]
    assert leaves[0].inner["filter"] == [{"term": {"b": 2}}, {"term": {"a": 1}}]
    assert leaves[2].inner["filter"] == [{"term": {"b": 2}}]
    assert list(retriever.windows(tree)) == [50, 50, 10]


def test_a_query_over_fields_is_short_for_one_retriever() -> None:
    tree = retriever.read({"rrf": {"query": "oil", "fields": ["title", "text"]}})
    [leaf] = retriever.leaves(tree)
    assert leaf.inner["query"]["multi_match"]["fields"] == ["title", "text"]


@pytest.mark.parametrize(
    "given", [{"standard": {}}, {"knn": {}}, {"pinned": {}}, {}, {"rrf": {}, "knn": {}}, [], "rrf", None]
)
def test_other_retrievers_are_the_nodes(given: Any) -> None:
    assert not retriever.is_ours(given)


@pytest.mark.parametrize(
    "given",
    [
        {"rrf": 1}, {"rrf": []}, {"rrf": {}}, {"rrf": {"retrievers": []}}, {"rrf": {"retrievers": "x"}},
        {"rrf": {"retrievers": [1]}}, {"rrf": {"retrievers": [{}]}}, {"rrf": {"retrievers": [{"knn": 3}]}},
        {"rrf": {"retrievers": [STANDARD], "rank_constant": 0}},
        {"rrf": {"retrievers": [STANDARD], "rank_window_size": 10_001}},
        {"rrf": {"retrievers": [STANDARD], "rank_window_size": [3]}},
        {"rrf": {"retrievers": [STANDARD], "made_up": 1}},
        {"rrf": {"retrievers": [{"retriever": STANDARD, "weight": -1}]}},
        {"linear": {"retrievers": [{"retriever": STANDARD, "normalizer": "best"}]}},
        {"linear": {"retrievers": [{"retriever": STANDARD, "normalizer": {"a": 1}}]}},
        {"linear": {"retrievers": [STANDARD], "query": "oil"}},
        {"text_similarity_reranker": {"retriever": STANDARD, "field": "text"}},
        {"text_similarity_reranker": {"field": "text", "inference_text": "oil"}},
        {"text_similarity_reranker": {"retriever": STANDARD, "field": 1, "inference_text": "x"}},
        {"text_similarity_reranker": {"retriever": KNN, "field": "t", "inference_text": ""}},
        {"rrf": {"retrievers": [STANDARD] * 33}},
    ],
)  # fmt: skip
def test_trees_that_are_not_in_order_are_a_400(given: Any) -> None:
    with pytest.raises(Refused) as refused:
        retriever.read(given)
    assert reason(refused)


def test_a_tree_that_is_too_deep_is_a_400() -> None:
    tree = STANDARD
    for _ in range(900):
        tree = {"rrf": {"retrievers": [tree]}}
    with pytest.raises(Refused) as refused:
        retriever.read(tree)
    assert "deeper" in reason(refused)


# -- fusion ----------------------------------------------------------------------------------------


def ranking(**scores: float) -> list[Found]:
    return [Found(("i", name), score) for name, score in scores.items()]


def scores(found: list[Found]) -> dict[str, float]:
    return {one.document[1]: one.score for one in found}


def test_rrf_is_the_weighted_sum_of_reciprocal_ranks() -> None:
    tree = Rrf((), (1.0, 2.0), 60, 10)
    fused = fusing.rrf(tree, [ranking(a=9.0, b=8.0), ranking(b=0.9, c=0.8)])
    assert scores(fused) == pytest.approx({"b": 1 / 62 + 2 / 61, "c": 2 / 62, "a": 1 / 61})
    assert [one.document[1] for one in fused] == ["b", "c", "a"]


def test_linear_is_the_weighted_sum_of_normalised_scores() -> None:
    tree = Linear((), (0.5, 1.0, 2.0), ("minmax", "l2_norm", "none"), 10)
    fused = fusing.linear(tree, [ranking(a=9.0, b=5.0, c=1.0), ranking(b=4.0, c=3.0), ranking(d=0.1)])
    assert scores(fused) == pytest.approx({"b": 0.5 * 0.5 + 0.8, "c": 0.6, "a": 0.5, "d": 0.2})


def test_equal_scores_stay_as_they_are() -> None:
    assert fusing.normalised([3.0, 3.0], "minmax") == [3.0, 3.0]
    assert fusing.normalised([0.0, 0.0], "l2_norm") == [0.0, 0.0]
    assert fusing.normalised([], "minmax") == []


def test_a_window_and_a_least_score_cut() -> None:
    lists = [ranking(a=3.0, b=2.0, c=1.0)]
    assert len(fusing.linear(Linear((), (1.0,), ("none",), 2), lists)) == 2
    assert list(scores(fusing.linear(Linear((), (1.0,), ("none",), 9, 1.5), lists))) == ["a", "b"]


def test_reranked_hits_come_first_and_scores_never_rise() -> None:
    order = fusing.reranked(ranking(a=4.0, b=3.0, c=2.0, d=1.0), [-2.0, 1.5, math.nan, math.nan], "rerank")
    assert [one.document[1] for one in order] == ["b", "a", "c", "d"]
    assert order[0].score == pytest.approx(2.5)  # max(1.5, 0) + min(e^1.5, 1)
    assert order[1].score == pytest.approx(math.exp(-2.0))
    assert [one.score for one in order] == sorted((one.score for one in order), reverse=True)


# -- the form of the answer ------------------------------------------------------------------------

ANSWER = {
    "took": 3,
    "hits": {
        "total": {"value": 2},
        "hits": [{"_id": "1", "_source": {"a": 1, "b": 2}}, {"_id": "2", "_source": {}}],
    },
}


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        (["took"], {"took": 3}),
        (["hits.hits._id"], {"hits": {"hits": [{"_id": "1"}, {"_id": "2"}]}}),
        (["hits.hits._source.a", "took"], {"took": 3, "hits": {"hits": [{"_source": {"a": 1}}]}}),
        (["**.value"], {"hits": {"total": {"value": 2}}}),
        (["h*.t*"], {"hits": {"total": {"value": 2}}}),
        (["-hits"], {"took": 3}),
        (["hits.hits", "-**._source"], {"hits": {"hits": [{"_id": "1"}, {"_id": "2"}]}}),
        (["nothing"], {}),
    ],
)  # fmt: skip
def test_filter_path_leaves_what_is_wanted(patterns: list[str], left: dict[str, Any]) -> None:
    assert filtered(ANSWER, patterns) == left


# -- _msearch --------------------------------------------------------------------------------------


def test_lines_of_an_msearch_are_kept_as_they_came() -> None:
    raw = b'{"index":["a","b"]}\n{"query": {"match_all":{}}}\n\n{broken\n'
    first, second = multi.split(raw) or []
    assert first.raw + second.raw == raw
    assert multi.index_of(first.header, None) == "a,b"
    assert multi.index_of(second.header, "c") == "c"
    assert second.body is None


@pytest.mark.parametrize("raw", [b"{}\n{}", b"{}\n", b"{}\n{}\n{}\n"])
def test_an_msearch_that_is_not_in_order_is_the_nodes_affair(raw: bytes) -> None:
    assert multi.split(raw) is None


def test_packed_bodies_are_looked_at_up_to_a_limit() -> None:
    assert unpacked(gzip.compress(b"{}"), b"gzip") == b"{}"
    assert unpacked(gzip.compress(b" " * (LONGEST + 1)), b"gzip") is None
    assert unpacked(b"no gzip", b"gzip") is None
    assert unpacked(gzip.compress(b"{}")[:-4], b"gzip") is None
    assert unpacked(b"{}", b"br") is None


def test_a_warning_is_one_line_whatever_is_in_it() -> None:
    name, value = headers.warning('encode:my "best"\r\nSet-Cookie: a\\b:unavailable')
    assert name == b"warning"
    assert value == rb'299 msmctl "degraded: encode:my \"best\"  Set-Cookie: a\\b:unavailable"'
    assert len(headers.warning("x" * 1_000_000)[1]) < 300
