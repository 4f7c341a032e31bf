"""Our fusion methods and those of ranx give the same, on lists that hold every candidate of every leg."""

from __future__ import annotations

import os

import numpy as np
import pytest

os.environ["NUMBA_DISABLE_JIT"] = "1"  # before ranx: it would compile for minutes, for twenty passages
from ranx import Run, fuse

from services.search.fusion import Candidates, Leg, fusion_named

LEGS = (Leg("bm25", "bm25"), Leg("dense", "cosine"))


def table(seed: int, *, whole: bool = True) -> Candidates:
    """20 candidates with scores in two legs; each leg lists all of them, or only its best 12."""
    rng = np.random.default_rng(seed)
    scores = np.column_stack([rng.gamma(2, 3, 20), rng.normal(0.4, 0.1, 20)])
    ranks = (np.argsort(np.argsort(-scores, axis=0), axis=0) + 1).astype(np.int32)
    listed = ranks if whole else np.where(ranks <= 12, ranks, 0)
    return Candidates(LEGS, np.arange(20, dtype=np.int32), listed, scores)


def runs(candidates: Candidates) -> list[Run]:
    """The legs' lists as ranx reads them."""
    return [
        Run({"q": {str(o): float(s) for o, s, r in zip(candidates.ords, scores, ranks, strict=True) if r}})
        for scores, ranks in zip(candidates.scores.T, candidates.ranks.T, strict=True)
    ]


def ours(candidates: Candidates, name: str, **params: float) -> dict[str, float]:
    method, values = fusion_named(name, params)
    fused = method.normalised(candidates, values) @ method.weights(candidates.legs, values)
    return dict(zip(map(str, candidates.ords.tolist()), fused.tolist(), strict=True))


@pytest.mark.parametrize("k", [60, 20])
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "cut"])
def test_rrf(k: int, whole: bool) -> None:
    candidates = table(1, whole=whole)
    theirs = fuse(runs(candidates), norm=None, method="rrf", params={"k": k}).to_dict()["q"]
    mine = {key: value for key, value in ours(candidates, "rrf", k=k).items() if value > 0}
    assert mine == pytest.approx(theirs)


@pytest.mark.parametrize(("name", "norm"), [("convex-minmax", "min-max"), ("convex-zscore", "zmuv")])
@pytest.mark.parametrize("dense", [0.3, 0.8])
def test_convex(name: str, norm: str, dense: float) -> None:
    candidates = table(2)
    weights = {"weights": (1 - dense, dense)}
    theirs = fuse(runs(candidates), norm=norm, method="wsum", params=weights).to_dict()["q"]
    assert ours(candidates, name, dense=dense) == pytest.approx(theirs, rel=1e-6)


def test_convex_with_theoretical_min_max_of_legs_whose_least_score_is_among_the_candidates() -> None:
    candidates = table(3)
    candidates.scores[7] = [0.0, -1.0]
    candidates.ranks[:] = np.argsort(np.argsort(-candidates.scores, axis=0), axis=0) + 1
    theirs = fuse(runs(candidates), norm="min-max", method="wsum", params={"weights": (0.2, 0.8)})
    assert ours(candidates, "convex", dense=0.8) == pytest.approx(theirs.to_dict()["q"], rel=1e-6)


def test_weighted_rrf_is_the_weighted_sum_of_the_rrf_of_each_leg() -> None:
    candidates = table(4, whole=False)
    nothing = Run({"q": {"x": 1.0}})
    alone = [fuse([run, nothing], norm=None, method="rrf").to_dict()["q"] for run in runs(candidates)]
    mine = ours(candidates, "weighted-rrf", dense=0.7)
    for key, value in mine.items():
        assert value == pytest.approx(0.3 * alone[0].get(key, 0) + 0.7 * alone[1].get(key, 0))
