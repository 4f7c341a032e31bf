"""Tuning on synthetic tables, where it is known which leg is good and which weight is best."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.errors import MsmError, UsageError
from services.evaluation.measures import parse_measure
from services.search import choice
from services.search.choice import Choice
from services.search.fusion import Background, Candidates, Leg
from services.search.request import SearchRequest
from services.store import Store
from services.tuning.arms import Arm, alone, default, fused
from services.tuning.choose import FEWEST, choose
from services.tuning.hybrid import Asked, Tuned
from services.tuning.intervals import difference
from services.tuning.values import values

BM25, DENSE, SPARSE = Leg("bm25", "bm25"), Leg("dense", "cosine"), Leg("sparse", "sparse")
PASSAGES = 2_000


def table(seed: int, bm25: float, dense: float) -> Candidates:
    """Two legs list their best 100 of 2,000; passage 0 answers, and has so many deviations more in each."""
    rng = np.random.default_rng(seed)
    scores = np.column_stack([rng.gamma(2, 2, PASSAGES), rng.normal(0, 0.1, PASSAGES)])
    scores[0] = [4 + 3 * bm25, 0.1 * dense]
    order = [np.argsort(-column, kind="stable")[:100] for column in scores.T]
    ords = np.union1d(*order).astype(np.int32)
    ranks = np.zeros((len(ords), 2), np.int32)
    for column, found in enumerate(order):
        ranks[np.searchsorted(ords, found), column] = np.arange(1, 101)
    background = Background(PASSAGES, (np.empty(0), scores[:256, 1]))
    return Candidates((BM25, DENSE), ords, ranks, scores[ords], background)


def measured(arms: list[Arm], bm25: float, dense: float, queries: int = 60) -> np.ndarray[Any, Any]:
    tables = [table(seed, bm25, dense) for seed in range(queries)]
    return values(arms, tables, [{"0": 1}] * queries, parse_measure("nDCG@10"))


def test_a_leg_alone_is_measured_by_its_own_list() -> None:
    one = table(0, 6, 2)
    place = int(one.ranks[one.ords == 0, 0][0])
    found = values(alone(one.legs), [one], [{"0": 1}], parse_measure("RR@10"))
    assert found[0, 0] == pytest.approx(1 / place if place <= 10 else 0)


def test_a_passage_that_a_leg_does_not_list_does_not_count_for_it() -> None:
    two = Candidates(
        (BM25, DENSE), np.array([3, 5], np.int32), np.array([[1, 0], [0, 1]], np.int32),
        np.array([[9.0, 0.1], [0.0, 0.8]]),
    )  # fmt: skip
    assert Arm(leg=BM25).order(two, 10).tolist() == [3]
    assert Arm(leg=DENSE).order(two, 10).tolist() == [5]


def test_the_default_is_the_first_of_the_fused_arms_and_none_is_there_twice() -> None:
    arms = fused()
    assert arms[0] == default()
    assert len({arm.name for arm in arms}) == len(arms)


def test_hybrid_is_recommended_where_both_legs_know_something() -> None:
    arms = [*alone((BM25, DENSE)), *fused()]
    found = measured(arms, 4, 3.2)
    verdict = choose(found[:2], found[2:])
    assert verdict.hybrid
    assert verdict.gain.low > 0


def test_the_better_leg_is_recommended_where_the_other_knows_nothing() -> None:
    arms = [*alone((BM25, DENSE)), *fused()]
    found = measured(arms, 9, -1)
    verdict = choose(found[:2], found[2:])
    assert verdict.better == 0
    assert not verdict.hybrid


def test_another_arm_takes_the_defaults_place_only_where_it_wins_on_queries_it_was_not_chosen_by() -> None:
    rng = np.random.default_rng(5)
    noise = rng.normal(0.5, 0.1, (30, 100))
    assert choose(noise[:2], noise[2:]).best == 0
    clear = noise.copy()
    clear[7] += 0.3
    verdict = choose(clear[:2], clear[2:])
    assert (verdict.best, set(verdict.folds)) == (5, {5})
    assert verdict.hybrid


def test_the_best_of_many_arms_that_are_all_chance_is_not_taken_for_a_gain() -> None:
    recommended = 0
    for seed in range(40):
        values_ = np.random.default_rng(seed).normal(0.5, 0.2, (26, 50))
        recommended += choose(values_[:2], values_[2:], seed).hybrid
    assert recommended <= 4  # two-sided 95 %: one in forty by chance, on one side


@pytest.mark.parametrize(("legs", "best", "mode", "systems", "words"), [
    ([BM25, DENSE], 1, "dense", (), "use dense alone (dense)"),
    ([BM25, SPARSE], 1, "sparse", (), "use sparse alone (sparse)"),
    ([BM25, DENSE, SPARSE], 2, "sparse", (), "use sparse alone (sparse)"),
    ([BM25, Leg("other", "dot"), DENSE], 2, "dense", ("dense",), "use dense alone (dense)"),
    ([BM25, Leg("other", "sparse"), SPARSE], 2, "sparse", ("sparse",), "use sparse alone (sparse)"),
    ([BM25, DENSE], 0, "bm25", (), "use bm25 alone"),
])  # fmt: skip
def test_a_leg_that_is_best_alone_is_kept_as_a_mode_that_answers_by_it(
    legs: list[Leg], best: int, mode: str, systems: tuple[str, ...], words: str
) -> None:
    single = alone(legs)
    worth = np.zeros((len(single) + len(fused()), 60))
    worth[best] = 1
    asked = Asked(None, "test", parse_measure("nDCG@10"), "qrels")  # type: ignore[arg-type]
    verdict = choose(worth[: len(single)], worth[len(single) :])
    tuned = Tuned(asked, 60, 1.0, single, fused(), worth, verdict)
    assert (tuned.choice().mode, tuned.choice().systems) == (mode, systems)
    assert tuned.recommendation == words
    assert tuned.choice().applied(SearchRequest(query="a")).mode == mode


def test_too_few_queries_are_refused() -> None:
    few = np.zeros((3, FEWEST - 1))
    with pytest.raises(UsageError, match="too few"):
        choose(few[:2], few[2:])


def test_the_interval_is_that_of_the_mean() -> None:
    drawn = np.random.default_rng(0).normal(0.1, 1, 400)
    found = difference(drawn)
    error = drawn.std(ddof=1) / 20
    assert found.mean == pytest.approx(drawn.mean())
    assert (found.low, found.high) == pytest.approx(
        (drawn.mean() - 1.96 * error, drawn.mean() + 1.96 * error), abs=0.2 * error
    )


def test_equal_values_differ_by_nothing() -> None:
    found = difference(np.zeros(30))
    assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)


# -- what is saved ---------------------------------------------------------------------------------

SAVED = Choice(
    mode="hybrid", fusion="convex", params={"dense": 0.7}, split="train", measure="nDCG@10", labels="qrels",
    queries=100, gain=0.02, low=0.01, high=0.03, saved="2026-01-01T00:00:00+00:00",
)  # fmt: skip


def test_a_choice_fills_in_what_a_request_leaves_open() -> None:
    request = SAVED.applied(SearchRequest(query="x"))
    assert (request.mode, request.fusion, request.params) == ("hybrid", "convex", {"dense": 0.7})


@pytest.mark.parametrize("given", [{"fusion": "rrf"}, {"params": {"dense": 0.4}}])
def test_a_fusion_or_a_parameter_that_is_asked_for_stands(given: dict[str, Any]) -> None:
    request = SAVED.applied(SearchRequest(query="x", **given))
    assert request.model_dump(include=set(given)) == given


@pytest.mark.parametrize("given", [{"mode": "hybrid"}, {"systems": ("a",)}, {"legs": ({"type": "bm25"},)}])
def test_legs_that_are_asked_for_stand(given: dict[str, Any]) -> None:
    alone_ = SAVED.model_copy(update={"mode": "bm25", "fusion": None, "params": {}})
    request = SearchRequest.parse({"query": "x"} | given)
    assert alone_.applied(request) is request


def test_a_choice_is_kept_with_the_collection_until_it_is_forgotten(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert choice.load(store, "c") is None
    choice.save(store, "c", SAVED)
    assert choice.load(store, "c") == SAVED
    assert choice.forget(store, "c")
    assert choice.load(store, "c") is None
    assert not choice.forget(store, "c")


@pytest.mark.parametrize("content", ["", "[]", '{"mode": "both"}'])
def test_a_damaged_choice_is_told_with_the_remedy(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "collections" / "c"
    folder.mkdir(parents=True)
    (folder / "search.json").write_text(content)
    with pytest.raises(MsmError) as caught:
        choice.load(Store(str(tmp_path)), "c")
    assert "search.json" in caught.value.message
    assert "tune forget" in (caught.value.hint or "")
