"""Fusion methods, against numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from services.errors import UsageError
from services.search.fusion import Background, Candidates, Leg, fusion_named, known
from services.search.request import Filter

NAN = np.nan


def table(
    scores: list[list[float]], ranks: list[list[int]], *scales: Any, background: Background | None = None
) -> Candidates:
    legs = tuple(Leg(f"{scale}{n}", scale) for n, scale in enumerate(scales))
    ords = np.arange(len(scores), dtype=np.int32)
    return Candidates(legs, ords, np.array(ranks, np.int32), np.array(scores), background)


def fused(name: str, candidates: Candidates, **params: float) -> list[float]:
    method, values = fusion_named(name, params)
    return (method.normalised(candidates, values) @ method.weights(candidates.legs, values)).tolist()


def test_rrf_adds_reciprocal_ranks_and_nothing_for_a_leg_that_does_not_list_the_passage() -> None:
    candidates = table([[5, 0.1], [4, NAN], [NAN, 0.9]], [[1, 2], [2, 0], [0, 1]], "bm25", "cosine")
    assert fused("rrf", candidates) == pytest.approx([1 / 61 + 1 / 62, 1 / 62, 1 / 61])
    assert fused("rrf", candidates, k=1) == pytest.approx([1 / 2 + 1 / 3, 1 / 3, 1 / 2])


def test_convex_takes_bm25_from_zero_and_cosine_from_minus_one_to_the_querys_best() -> None:
    candidates = table([[8, 0.2], [4, 0.6], [0, -1.0]], [[1, 2], [2, 1], [0, 3]], "bm25", "cosine")
    # BM25 8, 4, 0 of 8 -> 1, .5, 0; cosine (.2 + 1)/1.6 -> .75, 1, 0.
    assert fused("convex", candidates, dense=0.5) == pytest.approx([0.875, 0.75, 0.0])
    assert fused("convex", candidates, dense=0.9) == pytest.approx([0.775, 0.95, 0.0])


def test_convex_takes_a_dot_product_from_the_least_candidate() -> None:
    candidates = table([[8, 80.0], [4, 90.0], [0, 70.0]], [[1, 2], [2, 1], [0, 3]], "bm25", "dot")
    assert fused("convex", candidates, dense=0.5) == pytest.approx([0.75, 0.75, 0.0])


def test_convex_takes_a_dot_product_from_the_mean_of_a_random_sample() -> None:
    sample = Background(1000, (np.empty(0), np.array([10.0, 30.0])))
    candidates = table([[8, 80.0], [0, 50.0]], [[1, 1], [0, 2]], "bm25", "dot", background=sample)
    # dot 80, 50 between 20 and 80 -> 1, .5
    assert fused("convex", candidates, dense=0.5) == pytest.approx([1.0, 0.25])


def test_convex_takes_a_sparse_leg_from_zero() -> None:
    candidates = table([[8, 20.0], [4, 5.0]], [[1, 1], [2, 2]], "bm25", "sparse")
    assert fused("convex", candidates, dense=0.5) == pytest.approx([1.0, 0.375])


def test_convex_minmax_stretches_every_leg_from_the_last_to_the_first() -> None:
    candidates = table([[8, 0.2], [6, 0.6], [4, 0.3]], [[1, 3], [2, 1], [3, 2]], "bm25", "cosine")
    assert fused("convex-minmax", candidates, dense=0.5) == pytest.approx([0.5, 0.75, 0.125])


def test_convex_zscore_counts_in_standard_deviations() -> None:
    candidates = table([[3.0, 1.0], [1.0, 0.0]], [[1, 1], [2, 2]], "bm25", "cosine")
    assert fused("convex-zscore", candidates, dense=0.25) == pytest.approx([1.0, -1.0])


def test_weighted_rrf_weighs_the_legs() -> None:
    candidates = table([[5, 0.1], [NAN, 0.9]], [[1, 2], [0, 1]], "bm25", "cosine")
    assert fused("weighted-rrf", candidates, dense=0.25) == pytest.approx([0.75 / 61 + 0.25 / 62, 0.25 / 61])


def test_convex_shares_the_dense_weight_evenly() -> None:
    candidates = table([[8, 1.0, -1.0], [0, -1.0, 1.0]], [[1, 1, 2], [0, 2, 1]], "bm25", "cosine", "cosine")
    assert fused("convex", candidates, dense=0.6) == pytest.approx([0.4 + 0.3, 0.3])


def test_convex_without_bm25_gives_the_dense_legs_all() -> None:
    candidates = table([[1.0, 0.0], [0.0, 1.0]], [[1, 2], [2, 1]], "cosine", "cosine")
    assert sum(fusion_named("convex", {})[0].weights(candidates.legs, {"dense": 0.0})) == pytest.approx(1)


@pytest.mark.parametrize("name", known())
def test_every_method_makes_finite_scores_of_little(name: str) -> None:
    nothing = np.empty((0, 2))
    legs = (Leg("bm25", "bm25"), Leg("a", "dot"))
    empty = Candidates(
        legs, np.empty(0, np.int32), nothing.astype(np.int32), nothing, Background(0, (np.empty(0),) * 2)
    )
    assert fused(name, empty) == []
    one = table(
        [[0.0, 2.0]], [[0, 1]], "bm25", "dot", background=Background(1, (np.empty(0), np.array([2.0])))
    )
    assert np.isfinite(fused(name, one)).all()
    assert np.isfinite(fused(name, table([[3.0, 2.0]], [[1, 1]], "bm25", "dot"))).all()


def test_a_leg_that_tells_nothing_apart_adds_nothing() -> None:
    candidates = table([[0.0, 0.5], [0.0, 0.1]], [[0, 1], [0, 2]], "bm25", "cosine")
    assert fused("convex", candidates, dense=0.5) == pytest.approx([0.5, 0.5 * 1.1 / 1.5])
    equal = table([[3.0, 7.0], [3.0, 7.0]], [[1, 1], [2, 2]], "bm25", "dot")
    assert fused("convex", equal, dense=0.5) == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    ("name", "params"),
    [("sum", {}), ("rrf", {"dense": 0.5}), ("convex", {"dense": 1.5}), ("rrf", {"k": NAN})],
)
def test_an_unknown_method_or_parameter_is_refused(name: str, params: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        fusion_named(name, params)


def test_filters_are_read_with_and_without_the_prefix() -> None:
    fields = {"year": "integer", "topic": "keyword", "open": "boolean"}
    assert Filter.parse("meta.year>=1990").clause(fields) == {"range": {"meta.year": {"gte": 1990}}}
    assert Filter.parse("year = 7").clause(fields) == {"term": {"meta.year": 7}}
    assert Filter.parse("topic=a=b").clause(fields) == {"term": {"meta.topic": "a=b"}}


@pytest.mark.parametrize(
    "text",
    ["", "year", "=5", "year>5", "year=x", "colour=red", "open=maybe", "size>=inf", "size=nan", "size=1e999"],
)
def test_bad_filters_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Filter.parse(text).clause({"year": "integer", "open": "boolean", "size": "float"})
