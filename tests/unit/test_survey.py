"""What there is to score is counted exactly, and weighed by a sample from everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from small_collection import make
from small_runs import save_run

from services.scoring import select, survey
from services.scoring.select import Asked, Wanted


@pytest.fixture
def wanted(tmp_path, monkeypatch):
    monkeypatch.setattr(select, "_LEAST", 2)
    monkeypatch.setattr(select, "_ROWS", 1)
    queries = {f"q{n:02d}": f"what of {n}?" for n in range(40)}
    collection = make(
        tmp_path,
        passages={f"p{n}": f"passage {n}" for n in range(30)},
        queries={"train": queries},
        qrels={"train": [(qid, "p0", 1) for qid in queries]},
    )
    save_run(collection, "bm25", {qid: [f"p{m}" for m in range(n % 7)] for n, qid in enumerate(queries)})
    return Wanted(collection, Asked("train"))


def test_pairs_are_counted_by_query(wanted):
    found = survey.Survey.of(wanted, None)
    assert found.left.tolist() == [max(1, n % 7) for n in range(40)]
    assert found.todo == found.unique == sum(max(1, n % 7) for n in range(40))
    assert found.asked == sum(n % 7 + 1 for n in range(40))


@pytest.mark.parametrize("size", [4, 16, 4096])
def test_the_sample_is_spread_evenly_over_all_pairs(wanted, monkeypatch, size):
    monkeypatch.setattr(survey, "_SAMPLE", size)
    found = survey.Survey.of(wanted, None)
    everything = [pair for block in wanted.blocks() for pair in zip(block.qords, block.ords, strict=True)]
    sample = list(zip(found.qords, found.ords, strict=True))
    assert min(size, len(everything)) <= len(sample) <= 2 * size
    places = [everything.index(pair) for pair in sample]
    assert len(set(np.diff(places))) <= 1
    assert places[0] == 0
