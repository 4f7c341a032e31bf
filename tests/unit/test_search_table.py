"""The pure parts of a search: lists side by side, what stands for unknown scores, the final order."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.deadline import Deadline
from services.search.ask import Ask, Rerank
from services.search.fusion import Leg, fusion_named
from services.search.legs import Lexical, Sparse
from services.search.pace import Pace, Reserve
from services.search.page import depth_for
from services.search.rerank import final_order
from services.search.sample import drawn
from services.search.table import bounded, fuse, missing, put, side_by_side, within

BM25, DENSE = Leg("bm25", "bm25"), Leg("tiny", "cosine")
NAN = np.nan


def hits(*pairs: tuple[int, float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([o for o, _ in pairs], np.int32), np.array([score for _, score in pairs], np.float32)


def test_lists_become_a_row_per_passage_and_a_column_per_leg() -> None:
    table = side_by_side([BM25, DENSE], [hits((7, 3.0), (2, 1.0)), hits((2, 0.5), (9, 0.25))])
    assert table.ords.tolist() == [2, 7, 9]
    assert table.ranks.tolist() == [[2, 1], [1, 0], [0, 2]]
    np.testing.assert_array_equal(table.scores, [[1.0, 0.5], [3.0, NAN], [NAN, 0.25]])
    assert missing(table, 0).tolist() == [9]


def test_without_legs_there_are_no_candidates_and_no_ranking() -> None:
    method, params = fusion_named("rrf", {})
    fused = fuse(side_by_side([], []), [], method, params)
    assert (fused.ords.tolist(), fused.scores.tolist(), fused.weights.tolist()) == ([], [], [])


def test_scores_that_come_later_go_to_their_passages_and_others_are_passed_over() -> None:
    table = side_by_side([BM25, DENSE], [hits((7, 3.0)), hits((2, 0.5))])
    put(table, 1, *hits((7, 0.125), (99, 1.0)))
    np.testing.assert_array_equal(table.scores, [[NAN, 0.5], [3.0, 0.125]])


@given(st.lists(st.integers(0, 30)), st.sets(st.integers(0, 30)))
def test_within_is_isin_for_what_ascends(values: list[int], among: set[int]) -> None:
    asked, ascending = np.array(values, np.int32), np.array(sorted(among), np.int32)
    np.testing.assert_array_equal(within(asked, ascending), np.isin(asked, ascending))


def test_an_unknown_score_is_bounded_by_the_last_that_the_leg_listed() -> None:
    table = side_by_side([BM25, DENSE], [hits((7, 3.0), (8, 2.0)), hits((2, 0.5))])
    np.testing.assert_array_equal(bounded(table, [0, 0]).scores, [[2.0, 0.5], [3.0, 0.5], [2.0, 0.5]])
    assert np.isnan(table.scores).sum() == 3, "what is known stays told apart"


def test_a_leg_that_listed_nothing_gives_what_it_gives_to_what_does_not_match() -> None:
    table = side_by_side([BM25, DENSE], [hits(), hits((2, 0.5))])
    assert bounded(table, [0.0, -1.0]).scores.tolist() == [[0.0, 0.5]]


def test_equal_scores_are_in_the_order_of_ords() -> None:
    table = side_by_side([BM25, DENSE], [hits((7, 3.0), (8, 2.0)), hits((5, 0.9), (8, 0.5))])
    fused = fuse(table, [0, 0], *fusion_named("rrf", {}))
    assert fused.ords.tolist() == [8, 5, 7]
    assert fused.scores.tolist() == pytest.approx([2 / 62, 1 / 61, 1 / 61])


def test_one_leg_alone_keeps_its_scores() -> None:
    fused = fuse(side_by_side([BM25], [hits((7, 3.0), (2, 1.0))]), [0], *fusion_named("convex", {}))
    assert (fused.ords.tolist(), fused.scores.tolist()) == ([7, 2], [3.0, 1.0])


def test_nothing_found_is_an_empty_ranking() -> None:
    for legs in ([BM25], [BM25, DENSE]):
        fused = fuse(side_by_side(legs, [hits()] * len(legs)), [0] * len(legs), *fusion_named("convex", {}))
        places, scores, ce = final_order(fused, np.empty(0))
        assert len(fused.ords) == len(places) == len(scores) == len(ce) == 0


FUSED = fuse(
    side_by_side([BM25], [hits((1, 5.0), (2, 4.0), (3, 3.0), (4, 2.5))]), [0], *fusion_named("convex", {})
)


@pytest.mark.parametrize(
    ("ce", "places", "scores"),
    [
        ([], [0, 1, 2, 3], [5, 4, 3, 2.5]),
        ([NAN, NAN], [0, 1, 2, 3], [5, 4, 3, 2.5]),
        ([-9.0, 2.0], [1, 0, 2, 3], [2, -9, -9, -9.5]),
        ([1.0, 1.0, 7.0, NAN], [2, 0, 1, 3], [7, 1, 1, 1]),
    ],
    ids=["not asked", "not reached", "reranked", "ties in fused order"],
)
def test_the_reranked_head_comes_first_and_no_score_rises(
    ce: list[float], places: list[int], scores: list[float]
) -> None:
    found, final, logits = final_order(FUSED, np.array(ce))
    assert found.tolist() == places
    assert final.tolist() == scores
    whole = np.array([*ce, *[NAN] * (4 - len(ce))])
    np.testing.assert_array_equal(logits, whole[places])


def test_a_sample_is_the_same_for_the_same_index_and_all_of_a_small_one() -> None:
    assert drawn(10_000, 9_000).ords.tolist() == drawn(10_000, 9_000).ords.tolist()
    assert len(set(drawn(10_000, 9_000).ords.tolist())) == 256
    assert drawn(3, 3).ords.tolist() == [0, 1, 2]
    assert len(drawn(0, 0).ords) == 0


# -- how deep, and how long --------------------------------------------------------------------------


def ask(**more: object) -> Ask:
    method, params = fusion_named("rrf", {})
    two = (Lexical(), Sparse(None, {}))  # type: ignore[arg-type]
    return replace(Ask("index", "text", two, method, params), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("more", "depth"),
    [
        ({}, 100),
        ({"start": 90, "size": 10}, 100),
        ({"start": 91, "size": 10}, 1_000),
        ({"rerank": Rerank("ce", 200)}, 1_000),
        ({"start": 9_000, "size": 1_000}, 10_000),
        ({"depth": 37}, 37),
        ({"legs": (Lexical(),), "start": 5, "size": 10}, 15),
    ],
)
def test_legs_go_as_deep_as_a_page_and_the_window_ask_in_few_steps(
    more: dict[str, object], depth: int
) -> None:
    assert depth_for(ask(**more)) == depth


def test_a_reserve_learns_what_a_step_takes_and_how_much_that_varies() -> None:
    steady, varied = Reserve(), Reserve()
    for n in range(200):
        steady.took(20.0)
        varied.took(10.0 if n % 2 else 30.0)
    assert steady.ms == pytest.approx(20.0, rel=0.05)
    assert varied.ms > 30.0
    for _ in range(50):
        varied.took(1e6)
    assert varied.ms == 250.0


def test_a_slow_spell_is_forgotten_where_no_request_has_the_time_to_try_again() -> None:
    reserve = Reserve()
    for _ in range(50):
        reserve.took(20_000.0)
    kept = []
    while reserve.ms > 100.0 and len(kept) < 100:
        kept.append(reserve.ms)
        reserve.skipped()
    assert kept == sorted(kept, reverse=True)
    assert 10 < len(kept) < 100, "soon, but not at once"
    reserve.took(100.0)
    assert reserve.ms > 100.0, "and a step that is still slow is believed again"


def test_requests_without_any_time_do_not_make_a_reserve_vanish() -> None:
    reserve = Reserve(100.0, 10.0)
    for _ in range(1_000):
        reserve.skipped()
    assert reserve.ms == pytest.approx(15.0)
    short = Reserve(4.0, 0.5)
    short.skipped()
    assert short.ms == pytest.approx(6.0), "what is below that already stays"


def test_the_last_fetch_gets_its_reserve_and_never_more_than_a_third() -> None:
    pace = Pace(fetch=Reserve(30.0, 0.0), lag=Reserve(2.0, 0.0))
    whole = Deadline.after(1_000)
    assert pace.before_end(whole, fetch=True).at == pytest.approx(whole.at - 0.036)
    assert pace.before_end(whole, fetch=False).at == pytest.approx(whole.at - 0.006)
    short = Deadline.after(30)
    assert pace.before_end(short, fetch=True).at >= short.at - 0.0101
    assert pace.before_end(Deadline(), fetch=True).timeout is None


def test_lag_is_what_ranking_ended_too_late_and_not_what_was_late_before() -> None:
    pace, now = Pace(), time.monotonic()
    before = pace.lag.ms
    pace.ended(Deadline(), now)
    assert pace.lag.ms == before, "nothing was to be in time"
    pace.ended(Deadline(now - 60), now)
    assert pace.lag.mean_ms < 6, "ranking began when time was over"
    pace.ended(Deadline(now - 0.2), now - 1)
    assert pace.lag.mean_ms > 20
    for _ in range(200):
        pace.ended(Deadline.after(1_000), now)
    assert pace.lag.ms == pytest.approx(15.0), "a stall is forgotten by those who are in time"


def test_what_was_cut_off_would_have_taken_longer_and_no_less_than_mostly() -> None:
    one, other = Reserve(), Reserve()
    one.took(100)
    other.missed(100)
    assert other.ms > one.ms
    slow = Reserve(80.0, 0.0)
    for _ in range(20):
        slow.missed(0.1)
    assert slow.mean_ms == pytest.approx(80.0)
