"""Sampling: N passages per query, the same ones however the work is cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_collection import make
from small_runs import save_run

from services.negatives import reader
from services.negatives.opening import Asked, open_negatives
from services.negatives.sampling import STRATEGIES

V3 = "msmarco-distilbert-base-v3"
PIDS = [f"p{n}" for n in range(12)]
WORDS = [
    "moon", "tide", "salt", "rain", "dew", "frost", "hail", "thunder", "lightning", "wind", "snow", "fog",
]  # fmt: skip
RANKED = {"bm25": PIDS[1:7], V3: [PIDS[3], *PIDS[6:12]]}


@pytest.fixture
def collection(tmp_path):
    queries = {f"q{n}": WORDS[n] for n in range(8)}
    collection = make(tmp_path, passages=dict(zip(PIDS, WORDS, strict=True)), queries={"train": queries},
                      qrels={"train": [(qid, "p0", 1) for qid in queries]})  # fmt: skip
    for system, ranked in RANKED.items():
        save_run(collection, system, dict.fromkeys(queries, ranked))
    return collection


def chosen(collection, **asked):
    """Per query, per system, the pids that are left."""
    opened = open_negatives(collection, Asked("train", **asked))
    found = {}
    for n in range(opened.candidates.blocks):
        block = opened.candidates.block(n)
        kept = opened.selection.keep(block)
        for q, qid in enumerate(block.qids):
            rows = {system.name: block.by_system(kept, s) for s, system in enumerate(block.systems)}
            found[qid] = {name: collection.pids_of(block.ords[r[starts[q] : starts[q + 1]]])
                          for name, (r, starts) in rows.items()}  # fmt: skip
    return found


def union(lists):
    return {pid for one in lists.values() for pid in one}


def test_top_takes_the_best_ranked_by_any_system(collection):
    # Rank 1: p1 and p3; rank 2: p2 and p6. Every row of a chosen passage stays.
    assert chosen(collection, num=3)["q0"] == {"bm25": ["p1", "p2", "p3"], V3: ["p3"]}
    assert chosen(collection, num=3, sample="top") == chosen(collection, num=3)


def test_round_robin_gives_every_system_its_turn(collection):
    # bm25 p1, the other p3; bm25 p2, the other p6; bm25 p4 (p3 is taken), the other p7.
    assert union(chosen(collection, num=5, sample="round-robin")["q0"]) == {"p1", "p3", "p2", "p6", "p4"}
    assert union(chosen(collection, num=6, sample="round-robin")["q0"]) == {
        "p1", "p3", "p2", "p6", "p4", "p7"}  # fmt: skip


def test_round_robin_counts_what_filters_leave(collection):
    # bm25 has only p6 left: its turn comes first all the same.
    filters = ["score-range=:1,system=bm25", "rank-range=1:6"]
    assert union(chosen(collection, filters=filters, num=2, sample="round-robin")["q0"]) == {"p6", "p3"}


@pytest.mark.parametrize("sample", STRATEGIES)
def test_no_query_has_more_than_asked_for_and_none_fewer_without_need(collection, sample):
    for num in (1, 4, 10, 11, 50):
        found = chosen(collection, num=num, sample=sample)
        assert {len(union(lists)) for lists in found.values()} == {min(num, 11)}


def test_random_choices_differ_by_query_and_by_seed_but_not_by_run(collection):
    once = chosen(collection, num=3, sample="random", seed=1)
    assert once == chosen(collection, num=3, sample="random", seed=1)
    assert once != chosen(collection, num=3, sample="random", seed=2)
    assert len({json.dumps(lists) for lists in once.values()}) > 1


def test_random_choices_are_even(collection):
    counts = dict.fromkeys(PIDS[1:], 0)
    for seed in range(200):
        for lists in chosen(collection, num=1, sample="random", seed=seed).values():
            (pid,) = union(lists)
            counts[pid] += 1
    # 1,600 draws of 11: 145 each, with a standard deviation of 11.5.
    assert all(95 < count < 195 for count in counts.values()), counts


def test_a_random_choice_stays_where_others_are_taken_away(collection):
    drawn = union(chosen(collection, num=4, sample="random")["q0"])
    first = chosen(collection, num=4, sample="random", filters=["rank-range=1:4"])["q0"]
    still_there = drawn & {*RANKED["bm25"][:4], *RANKED[V3][:4]}
    assert still_there <= union(first)


@settings(max_examples=25)
@given(sample=st.sampled_from(STRATEGIES), num=st.integers(1, 12), seed=st.integers(0, 9),
       size=st.integers(1, 5))  # fmt: skip
def test_how_the_work_is_cut_does_not_matter(collection, sample, num, seed, size):
    asked = {"num": num, "sample": sample, "seed": seed, "filters": ["max-per-system=4"]}
    whole = chosen(collection, **asked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "BLOCK", size)
        assert chosen(collection, **asked) == whole
