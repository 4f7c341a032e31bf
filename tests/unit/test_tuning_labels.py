"""What tuning counts as relevant: judgements, or stored scores of a cross-encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_collection import make
from small_scores import save_scores

from services.collections.collection import Collection
from services.errors import NotFound, UsageError
from services.evaluation.measures import parse_measure
from services.search.fusion import Candidates, Leg
from services.tuning.hybrid import Asked, tune
from services.tuning.labels import judgements, scored

LEGS = (Leg("bm25", "bm25"), Leg("dense", "cosine"))
QUERIES = {f"q{n}": f"question {n}" for n in range(30)}


@pytest.fixture
def small(tmp_path: Path) -> Collection:
    return make(
        tmp_path,
        passages={f"p{n}": f"passage number {n}" for n in range(6)},
        queries={"train": QUERIES},
        qrels={"train": [("q0", "p1", 1), ("q0", "p2", 0), ("q1", "p3", 1)]},
    )


def table() -> Candidates:
    """BM25 lists p0, p1, p2, dense lists them the other way round; p3 is listed by neither."""
    ranks = np.array([[1, 3], [2, 2], [3, 1]], np.int32)
    scores = np.array([[9.0, 0.1], [5.0, 0.5], [1.0, 0.9]])
    return Candidates(LEGS, np.arange(3, dtype=np.int32), ranks, scores)


def test_judgements_are_those_of_the_split_by_query(small: Collection) -> None:
    found = judgements(small, "train", [0, 1, 2])
    assert found.grades == [{"1": 1, "2": 0}, {"3": 1}, {}]


def test_a_score_above_zero_counts_as_relevant_and_none_as_not(small: Collection) -> None:
    save_scores(small, {("q0", "p0"): 2.5, ("q0", "p1"): -1.0, ("q1", "p2"): 0.5})
    found = scored(small, None, [0, 1], [table(), table()])
    assert found.grades == [{"0": 1}, {"2": 1}]
    assert found.share == pytest.approx(3 / 6)


def test_scores_that_are_not_there_are_told(small: Collection) -> None:
    with pytest.raises(NotFound, match="no scores"):
        scored(small, None, [0], [table()])
    save_scores(small, {("q5", "p0"): 2.5})
    with pytest.raises(UsageError, match="none of these queries' candidates"):
        scored(small, None, [0], [table()])


def test_tuning_by_scores_finds_the_leg_that_the_cross_encoder_agrees_with(small: Collection) -> None:
    save_scores(small, {(qid, "p2"): 3.0 for qid in QUERIES} | {(qid, "p0"): -3.0 for qid in QUERIES})
    asked = Asked(small, "train", parse_measure("RR@10"), "ce")
    tuned = tune(asked, range(30), [table()] * 30)
    assert tuned.better.name == "dense"
    assert tuned.recommendation == "use dense alone (dense)"
    assert (tuned.choice().mode, tuned.choice().systems) == ("dense", ())


def test_queries_without_a_relevant_passage_do_not_count(small: Collection) -> None:
    asked = Asked(small, "train", parse_measure("RR@10"), "qrels")
    with pytest.raises(UsageError, match="2 queries"):
        tune(asked, range(30), [table()] * 30)
