"""The gateway's pure parts that answer: trees of retrievers, their fusion, the form of the answer."""

from __future__ import annotations

import math
from typing import Any

import pytest

from services.gateway import fusing, params, retriever
from services.gateway.filter_path import filtered
from services.gateway.fusing import Found
from services.gateway.native import Refused
from services.gateway.retriever import Linear, Reranker, Rrf
from tests.unit.gateway_kit import reason

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


@pytest.mark.parametrize("inner", [STANDARD, {"rrf": {"retrievers": [STANDARD]}}])
def test_a_tree_with_too_many_leaves_is_read_no_further(inner: dict[str, Any]) -> None:
    """Each leaf carries the filters of all above it: what comes after the last one is never made."""
    with pytest.raises(Refused) as refused:
        retriever.read({"rrf": {"filter": [{}], "retrievers": [inner] * 33 + [{"no": "retriever"}]}})
    assert reason(refused) == "[retriever] holds more than 32 retrievers"


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


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"x": 1}
    for _ in range(depth):
        value = {"a": value}
    return value


def test_any_names_again_and_again_are_any_names() -> None:
    assert filtered(ANSWER, [".".join(["**"] * 2_000 + ["value"])]) == filtered(ANSWER, ["**.value"])
    assert filtered(ANSWER, ["hits.**.**"]) == {"hits": ANSWER["hits"]}


def test_the_ways_through_an_answer_are_not_multiplied() -> None:
    """There are more than 10^40 ways to find forty names among two hundred."""
    path = ".".join(["**", "a"] * 40 + ["x"])
    assert filtered(nested(200), [path]) == nested(200)
    assert filtered(nested(1), [path]) == {}


def test_a_filter_that_no_node_would_read_is_refused() -> None:
    assert params.parse(b"filter_path=" + b"a" * 4_096).form.filter_path == ("a" * 4_096,)
    with pytest.raises(Refused) as refused:
        params.parse(b"filter_path=" + b"a" * 4_097)
    assert "longer than 4096" in reason(refused)
