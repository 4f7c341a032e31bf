"""Candidates as columns: every pair judged once, with its verdict and why."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_collection import make
from small_runs import save_run

from services.mining.runs import open_run
from services.negatives.marks import Mark, Marks
from services.negatives.reader import Candidates
from services.negatives.verdicts import Rules, Verdict, negatives, why
from services.systems.registry import Registry

TAS_B = "msmarco-distilbert-base-tas-b"
PASSAGES = {
    "p1": "The moon pulls the water nearest to it and so the sea rises twice a day.",
    "p2": "THE MOON pulls the water nearest to it, and so the sea rises twice a day!",
    "p3": "Rivers carry minerals to the sea, where they stay behind as salt.",
    "p4": "Dew settles on grass that has given off its warmth to the night sky.",
    "p5": "Thunder is air that lightning has heated.",
}
QUERIES = {"train": {"q1": "why tides", "q2": "why salt", "q3": "why dew"}}
QRELS = {"train": [("q1", "p1", 1), ("q2", "p3", 1)]}
SCORES = {("q1", "p1"): 5.0, ("q1", "p3"): 1.0, ("q1", "p4"): 2.0, ("q1", "p5"): -6.0, ("q2", "p4"): 3.0}


@pytest.fixture
def collection(tmp_path):
    collection = make(tmp_path, passages=PASSAGES, queries=QUERIES, qrels=QRELS)
    save_run(collection, "bm25", {"q1": ["p1", "p2", "p3", "p4"], "q2": ["p4", "p3", "p5"], "q3": ["p4"]})
    save_run(collection, TAS_B, {"q1": ["p5", "p1", "p4", "p3"], "q2": ["p3"]})
    return collection


class Scored:
    """Scores of a few pairs, by ids."""

    def __init__(self, collection, scores):
        self._scores = {
            (int(collection.qords_of([qid])[0]), int(collection.ords_of([pid])[0])): score
            for (qid, pid), score in scores.items()
        }

    def of(self, qords, ords):
        pairs = zip(qords.tolist(), ords.tolist(), strict=True)
        return np.array([self._scores.get(pair, np.nan) for pair in pairs], np.float32)


def read(collection, **options):
    registry = Registry.load(collection.store)
    systems = [registry.get(name) for name in ("bm25", TAS_B)]
    runs = [(system, open_run(collection, "train", system.name)) for system in systems]
    return Candidates(collection, "train", runs, **options)


def told(candidates):
    """Per (qid, pid), the verdict and why."""
    block, collection = candidates.block(0), candidates.collection
    pids = collection.pids_of(block.pairs.ords)
    return {
        (collection.qids[block.qords[query]], pids[n]): (
            Verdict(block.pairs.verdict[n]).label,
            why(block, n, candidates.rules, candidates.marks.reason(block.qords[query], block.pairs.ords[n])),
        )
        for n, query in enumerate(block.pairs.query)
    }


def test_a_passage_that_several_systems_return_is_one_pair(collection):
    block = read(collection).block(0)
    assert len(block) == 12
    assert len(block.pairs) == 8
    assert [block.systems[s].name for s in block.system[block.query == 0]] == ["bm25"] * 4 + [TAS_B] * 4
    assert block.rank[block.query == 0].tolist() == [1, 2, 3, 4] * 2


def test_queries_without_a_positive_are_left_out_unless_asked_for(collection):
    assert len(read(collection).qords) == 2
    assert len(read(collection, all_queries=True).qords) == 3


def test_without_scores_qrels_and_texts_decide(collection):
    assert told(read(collection)) == {
        ("q1", "p1"): ("positive", "positive in the qrels"),
        ("q1", "p2"): ("near_duplicate", "has the text of a positive"),
        ("q1", "p3"): ("keep", "not scored"),
        ("q1", "p4"): ("keep", "not scored"),
        ("q1", "p5"): ("keep", "not scored"),
        ("q2", "p3"): ("positive", "positive in the qrels"),
        ("q2", "p4"): ("keep", "not scored"),
        ("q2", "p5"): ("keep", "not scored"),
    }


def test_the_margin_counts_from_the_lowest_positive_and_includes_its_end(collection):
    rules = Rules(margin=3.0, easy=10.0)
    found = told(read(collection, scores=Scored(collection, SCORES), rules=rules))
    assert found["q1", "p4"] == (
        "likely_positive",
        "score 2.00, 3.00 below the lowest positive: within the margin of 3",
    )
    assert found["q1", "p3"] == ("keep", "score 1.00, 4.00 below the lowest positive")
    assert found["q1", "p5"] == ("too_easy", "score -6.00, 11.00 below the lowest positive: more than 10")
    assert found["q2", "p4"] == ("keep", "no positive of the query is scored")


def test_a_person_comes_first(collection):
    marks = Marks(collection, [
        Mark("q1", "p4", Verdict.KEEP, "about dew"), Mark("q1", "p5", Verdict.POSITIVE, "answers it"),
        Mark("q1", "p1", Verdict.EXCLUDED, "off topic"), Mark("q9", "p1", Verdict.KEEP, "of another state"),
    ])  # fmt: skip
    candidates = read(collection, scores=Scored(collection, SCORES), rules=Rules(margin=3.0), marks=marks)
    found = told(candidates)
    assert found["q1", "p4"] == ("keep", "a person: about dew")
    assert found["q1", "p5"] == ("positive", "a person: answers it")
    assert found["q1", "p1"] == ("excluded", "a person: off topic")
    assert found["q1", "p2"][0] == "keep"  # no copy of a positive any more
    block = candidates.block(0)
    assert collection.pids_of(block.positives.of(0)) == ["p5"]


def test_relabelled_candidates_become_positives(collection):
    rules = Rules(margin=3.0, relabel=2.0)
    candidates = read(collection, scores=Scored(collection, SCORES), rules=rules)
    assert told(candidates)["q1", "p4"] == ("positive", "score 2.00 is at or above 2")
    block = candidates.block(0)
    assert collection.pids_of(block.positives.of(0)) == ["p1", "p4"]
    assert block.positives.lowest.tolist()[0] == 5.0  # what was labelled decides the margin


def test_merged_takes_each_passage_once_by_its_best_rank(collection):
    block = read(collection).block(0)
    merged = block.merged(negatives(block))
    pids = collection.pids_of(block.pairs.ords[merged])
    assert [pid for pid, query in zip(pids, block.pairs.query[merged], strict=True) if query == 0] == [
        "p5",
        "p3",
        "p4",
    ]


# -- any marks, any judgements -------------------------------------------------------------------------

PIDS = list(PASSAGES)


@settings(max_examples=25)
@given(data=st.data())
def test_a_mark_decides_its_pair_and_no_other(tmp_path_factory, data):
    distinct = dict(zip(PIDS, ["moon", "tide", "salt", "dew", "thunder"], strict=True))
    grades = data.draw(st.dictionaries(st.sampled_from(PIDS), st.integers(0, 2), min_size=1))
    said = data.draw(st.dictionaries(st.sampled_from(PIDS), st.sampled_from(list(Verdict))))
    scores = data.draw(st.dictionaries(st.sampled_from(PIDS), st.integers(-9, 9)))
    qrels = {"train": [("q", pid, grade) for pid, grade in grades.items()]}
    folder = tmp_path_factory.mktemp("any")
    collection = make(folder, passages=distinct, queries={"train": {"q": "why"}}, qrels=qrels, min_rel=2)
    save_run(collection, "bm25", {"q": PIDS})
    run = [(Registry.load(collection.store).get("bm25"), open_run(collection, "train", "bm25"))]
    candidates = Candidates(
        collection, "train", run, all_queries=True, rules=Rules(margin=3.0),
        marks=Marks(collection, [Mark("q", pid, verdict, "so") for pid, verdict in said.items()]),
        scores=Scored(collection, {("q", pid): score for pid, score in scores.items()}),
    )  # fmt: skip
    block = candidates.of(np.array([0], np.int32))
    positives = {pid for pid in PIDS if said.get(pid, None if grades.get(pid, 0) < 2 else Verdict.POSITIVE)
                 == Verdict.POSITIVE}  # fmt: skip
    assert set(collection.pids_of(block.positives.of(0))) == positives
    lowest = min((scores[pid] for pid in positives if pid in scores), default=None)
    for pid, verdict, left in zip(
        collection.pids_of(block.ords), block.pairs.verdict[block.pair], negatives(block), strict=True
    ):
        near = lowest is not None and pid in scores and scores[pid] >= lowest - 3
        expected = (
            said[pid] if pid in said
            else Verdict.POSITIVE if grades.get(pid, 0) >= 2
            else Verdict.EXCLUDED if grades.get(pid, 0) > 0
            else Verdict.LIKELY_POSITIVE if near
            else Verdict.KEEP
        )  # fmt: skip
        assert verdict == expected
        assert left == (expected == Verdict.KEEP or (expected == Verdict.LIKELY_POSITIVE and pid not in said))
