"""A run that is written says its order by its scores alone, however it is read."""

from __future__ import annotations

import ir_measures
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.mining.trec_order import in_trec_order

ids = st.lists(st.text("ab1é", min_size=1, max_size=3), unique=True, max_size=8)
few = st.sampled_from([-1.0, -0.0, 0.0, 1e-45, 1.0, 1.0000001, 9.5, 3e38])
lists = st.lists(st.tuples(ids, st.lists(few, min_size=8, max_size=8)), max_size=3)


def columns(found: list[tuple[list[str], list[float]]]) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Queries, pids and scores of rows whose scores never rise within a query."""
    query = np.repeat(np.arange(len(found)), [len(pids) for pids, _ in found])
    scores = [score for pids, some in found for score in sorted(some, reverse=True)[: len(pids)]]
    return query, [pid for pids, _ in found for pid in pids], np.array(scores, np.float32)


@given(found=lists)
def test_the_scores_alone_say_the_order_ties_to_the_greater_id(found):
    query, pids, scores = columns(found)
    written = in_trec_order(query, pa.array(pids, pa.string()), scores)
    for number, (expected, _) in enumerate(found):
        rows = [
            (score, pid)
            for of, pid, score in zip(query.tolist(), pids, written.tolist(), strict=True)
            if of == number
        ]
        assert [pid for _, pid in sorted(rows, reverse=True)] == expected


@given(found=lists)
def test_scores_that_say_the_order_stay_and_others_are_lowered_by_a_step_for_each_row(found):
    query, pids, scores = columns(found)
    written = in_trec_order(query, pa.array(pids, pa.string()), scores)
    lowest = scores
    for _ in range(8):
        lowest = np.nextafter(lowest, np.float32(-np.inf))
    assert (written <= scores).all()
    assert (written >= lowest).all()
    again = in_trec_order(query, pa.array(pids, pa.string()), written)
    assert again.tolist() == written.tolist()


def test_no_score_becomes_infinite():
    lowest = np.full(2, np.finfo(np.float32).min)
    written = in_trec_order(np.zeros(2, np.int64), pa.array(["a", "b"]), lowest)
    assert written.tolist() == lowest.tolist()


@pytest.mark.parametrize("pids", [["a", "b", "c"], ["c", "b", "a"], ["b", "c", "a"]])
def test_trec_eval_finds_the_order(pids):
    """With a step of float64 instead, it would not: it compares float32."""
    written = in_trec_order(np.zeros(3, np.int64), pa.array(pids), np.ones(3, np.float32))
    run = [ir_measures.ScoredDoc("q", pid, score) for pid, score in zip(pids, written.tolist(), strict=True)]
    for rank, pid in enumerate(pids, 1):
        found = ir_measures.pytrec_eval.calc_aggregate([ir_measures.RR], [ir_measures.Qrel("q", pid, 1)], run)
        assert found[ir_measures.RR] == pytest.approx(1 / rank)
