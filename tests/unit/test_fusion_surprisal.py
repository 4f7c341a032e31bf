"""Fusion by surprisal, against its definition and on synthetic legs whose worth is known."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from services.search.fusion import Background, Candidates, Leg, fusion_named
from services.search.fusion.surprisal import OBSERVED, TEMPERATURE, nats

BM25, DENSE = Leg("bm25", "bm25"), Leg("dense", "cosine")
PASSAGES = 10_000


def evidence(candidates: Candidates) -> np.ndarray:
    method, params = fusion_named("surprisal", {})
    return method.normalised(candidates, params)


def best(candidates: Candidates) -> int:
    method, params = fusion_named("surprisal", {})
    return int(np.argmax(method.normalised(candidates, params) @ method.weights(candidates.legs, params)))


def world(bm25: np.ndarray, dense: np.ndarray, depth: int = 100) -> Candidates:
    """What a search of passages with these scores brings: the best of either leg, and a sample of 256."""
    order = [np.argsort(-scores, kind="stable")[:depth] for scores in (bm25, dense)]
    ords = np.union1d(*order).astype(np.int32)
    ranks = np.zeros((len(ords), 2), np.int32)
    for column, found in enumerate(order):
        ranks[np.searchsorted(ords, found), column] = np.arange(1, depth + 1)
    sample = np.random.default_rng(0).choice(len(dense), 256, replace=False)
    scores = np.column_stack([bm25[ords], dense[ords]])
    return Candidates(
        (BM25, DENSE), ords, ranks, scores, Background(len(dense), (np.empty(0), dense[sample]))
    )


def test_nats_are_minus_the_logarithm_of_the_normal_tail() -> None:
    for z in (-3.0, 0.0, 1.0, 4.0):
        assert nats(np.array([z]))[0] == pytest.approx(-math.log(1 - NormalDist().cdf(z)), rel=1e-6)


def test_nats_go_on_where_floats_end() -> None:
    far = nats(np.array([24.0, 30.0, 60.0]))
    # Mills: the tail is near exp(-z²/2) / (z sqrt(2 pi)).
    assert far == pytest.approx([288 + math.log(24 * math.sqrt(2 * math.pi)), 450, 1800], rel=0.01)


def test_evidence_is_what_is_beyond_the_best_of_as_many_random_passages() -> None:
    scores = np.array([30.0, 12.0] + [10.0] * 8)
    ranks = np.arange(1, 11, dtype=np.int32)
    candidates = Candidates(
        (BM25,),
        np.arange(10, dtype=np.int32),
        ranks[:, None],
        scores[:, None],
        Background(999, (np.empty(0),)),
    )
    # The tenth of 999 shows ln(1000 / 10) nats where BM25 has 10: half-way is the geometric mean of both.
    factor = math.sqrt(math.log(100) / 10)
    expected = [
        TEMPERATURE * math.log1p(math.exp((s * factor - math.log(999)) / TEMPERATURE)) for s in scores
    ]
    assert evidence(candidates)[:, 0] == pytest.approx(expected)
    assert OBSERVED == 10


def test_a_similarity_counts_by_its_distance_from_the_sample_whatever_its_scale() -> None:
    rng = np.random.default_rng(1)
    bm25, cosine = rng.gamma(1, 2, PASSAGES), rng.normal(0.1, 0.05, PASSAGES)
    cosine[17] = 0.6
    near_one = 0.8 + 0.2 * cosine
    assert evidence(world(bm25, cosine)) == pytest.approx(evidence(world(bm25, near_one)), rel=1e-6)


@pytest.mark.parametrize("sure", ["bm25", "dense"])
def test_a_leg_that_knows_nothing_does_not_move_what_the_other_is_sure_of(sure: str) -> None:
    rng = np.random.default_rng(2)
    for answer in range(0, 500, 25):
        if sure == "bm25":
            bm25, dense = rng.gamma(1, 2, PASSAGES), rng.normal(0, 0.05, PASSAGES)
            bm25[answer] = 35.0
        else:  # the query has common words only
            bm25, dense = rng.uniform(0, 3, PASSAGES), rng.normal(0.1, 0.05, PASSAGES)
            dense[answer] = 0.5
        assert world(bm25, dense).ords[best(world(bm25, dense))] == answer


def test_two_legs_that_half_believe_in_a_passage_beat_one_that_does() -> None:
    rng = np.random.default_rng(4)
    bm25, dense = rng.gamma(1, 2, PASSAGES), rng.normal(0, 0.05, PASSAGES)
    bm25[[7, 8]] = [30.0, 33.0]
    dense[7] = 0.3
    assert world(bm25, dense).ords[best(world(bm25, dense))] == 7


def test_without_a_sample_the_lists_own_tail_is_the_measure() -> None:
    scores = np.array([[13.0], [3.0], [2.0], [1.0], [1.0]])
    ranks = np.arange(1, 6, dtype=np.int32)[:, None]
    candidates = Candidates((Leg("a", "dot"),), np.arange(5, dtype=np.int32), ranks, scores)
    # Mean excess over the last: (12 + 2 + 1 + 0 + 0) / 5 = 3; of five, ln 5 is chance.
    beyond = np.array([12, 2, 1, 0, 0]) / 3 - math.log(5)
    assert evidence(candidates)[:, 0] == pytest.approx(TEMPERATURE * np.log1p(np.exp(beyond / TEMPERATURE)))


def test_a_leg_that_lists_nothing_says_nothing() -> None:
    empty = Candidates(
        (BM25, DENSE), np.arange(2, dtype=np.int32), np.array([[0, 1], [0, 2]], np.int32),
        np.array([[0.0, 0.9], [0.0, 0.1]]),
    )  # fmt: skip
    assert evidence(empty)[:, 0].tolist() == [0.0, 0.0]


def test_where_nothing_is_sampled_a_lone_match_has_evidence_and_what_does_not_match_has_none() -> None:
    candidates = Candidates(
        (Leg("terms", "sparse"),),
        np.arange(3, dtype=np.int32),
        np.array([[1], [0], [0]], np.int32),
        np.array([[4.0], [0.0], [0.0]]),
    )
    found = evidence(candidates)[:, 0]
    assert found[0] > 0
    assert found[1:].tolist() == [0.0, 0.0]
