"""Examples and their order: what is drawn for whom, and that any step can be had by itself."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from services.collections.collection import Collection
from services.errors import CheckFailed
from services.negatives.opening import Asked, open_negatives
from services.training import data
from services.training.ce_bce import CeBce
from services.training.evaluate import reranked
from services.training.methods import Examples, Method, Rows
from services.training.mnrl import Mnrl
from services.training.order import POOL, Order
from services.training.recipe import Recipe, load_recipe
from tests.unit import small_collection
from tests.unit.small_runs import save_run

NONE: Rows = {name: np.empty(0, np.int32) for name in ("qord", "ord")}


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    """Three queries with 1, 2 and 1 positives; q2 has one negative only."""
    made = small_collection.make(
        tmp_path,
        passages={pid: f"text {pid} of {pid} and {pid}s" for pid in map("p{}".format, range(9))},
        queries={"train": {f"q{n}": f"question {n}" for n in range(3)}},
        qrels={"train": [("q0", "p0", 1), ("q1", "p0", 1), ("q1", "p1", 1), ("q2", "p2", 1)]},
    )
    save_run(made, "bm25", {"q0": ["p0", "p1", "p3", "p4"], "q1": ["p5", "p1", "p6"], "q2": ["p2", "p7"]})
    save_run(made, "all-MiniLM-L6-v2", {"q0": ["p3", "p8"], "q1": ["p0", "p7"], "q2": ["p7"]})
    return made


def made(collection: Collection, method: Method, *overrides: str, filters: tuple[str, ...] = ()) -> data.Made:
    recipe = load_recipe("ce-bce", ["evaluation.queries=0", *overrides])
    opened = open_negatives(collection, Asked(split="train", filters=filters))
    return data.make(opened, method, recipe, lambda _: None)


def told(collection: Collection, rows: Rows) -> list[tuple[str, str, int]]:
    qids, pids = collection.qids, collection.pids.to_pylist()
    return [
        (qids[q], pids[o], int(label))
        for q, o, label in zip(rows["qord"], rows["ord"], rows["label"], strict=True)
    ]


def test_positives_are_one_and_drawn_candidates_zero(collection: Collection) -> None:
    examples = told(collection, made(collection, CeBce(), "negatives=9").examples.rows)
    assert set(examples) == {
        ("q0", "p0", 1), ("q0", "p1", 0), ("q0", "p3", 0), ("q0", "p4", 0), ("q0", "p8", 0),
        ("q1", "p0", 1), ("q1", "p1", 1), ("q1", "p5", 0), ("q1", "p6", 0), ("q1", "p7", 0),
        ("q2", "p2", 1), ("q2", "p7", 0),
    }  # fmt: skip
    assert len(examples) == len(set(examples))


def test_a_positive_gets_as_many_negatives_as_the_recipe_says(collection: Collection) -> None:
    examples = told(collection, made(collection, CeBce(), "negatives=1").examples.rows)
    assert Counter(qid for qid, _, label in examples if not label)["q0"] == 1
    assert {qid for qid, _, label in examples if label} == {"q0", "q1", "q2"}


def test_equal_seeds_draw_equally_and_others_otherwise(collection: Collection) -> None:
    drawn = [
        told(collection, made(collection, CeBce(), "negatives=1", f"seed={seed}").examples.rows)
        for seed in (1, 1, *range(2, 12))
    ]
    assert drawn[0] == drawn[1]
    assert any(other != drawn[0] for other in drawn[2:])


def test_filters_decide_what_can_be_drawn(collection: Collection) -> None:
    examples = told(
        collection, made(collection, CeBce(), "negatives=9", filters=("rank-range=2:3",)).examples.rows
    )
    assert {(qid, pid) for qid, pid, label in examples if not label} == {
        ("q0", "p1"), ("q0", "p3"), ("q0", "p8"), ("q1", "p6"), ("q1", "p7"), ("q2", "p7"),
    }  # fmt: skip


def test_a_query_without_negatives_teaches_a_cross_encoder_nothing(collection: Collection) -> None:
    found = made(collection, CeBce(), "negatives=9", filters=("rank-range=2:2",))
    labels = {qid: set[int]() for qid in ("q0", "q1", "q2")}
    for qid, _, label in told(collection, found.examples.rows):
        labels[qid].add(label)
    assert all(one in ({0, 1}, set()) for one in labels.values())
    assert found.counts["queries_left_out"] == sum(not one for one in labels.values())


def test_where_no_negative_is_left_it_is_said(collection: Collection) -> None:
    with pytest.raises(CheckFailed, match="has 0 examples") as caught:
        made(collection, CeBce(), filters=("rank-range=40:50",))
    assert "msmctl mine" in str(caught.value.hint)


def test_triples_have_all_their_negatives_or_are_left_out_and_counted(collection: Collection) -> None:
    found = made(collection, Mnrl(), "negatives=2")
    assert set(found.examples.rows) == {"qord", "positive", "negative_1", "negative_2"}
    assert sorted(collection.qids[q] for q in found.examples.rows["qord"]) == ["q0", "q1", "q1"]
    assert found.counts["queries_left_out"] == 1


def forty(tmp_path: Path, *, listed: int) -> Collection:
    """Forty queries, a positive each; the run lists all passages for the first ones, else that one alone."""
    pids = [f"p{n}" for n in range(40)]
    wide = small_collection.make(
        tmp_path,
        passages={pid: f"text of {pid}" for pid in pids},
        queries={"train": {f"q{n}": f"question {n}" for n in range(40)}},
        qrels={"train": [(f"q{n}", f"p{n}", 1) for n in range(40)]},
    )
    save_run(wide, "bm25", {f"q{n}": pids if n < listed else [f"p{n}"] for n in range(40)})
    return wide


def test_held_out_queries_are_in_no_example(tmp_path: Path) -> None:
    wide = forty(tmp_path, listed=40)
    found = made(wide, CeBce(), "evaluation.queries=3", "evaluation.depth=5", "data.queries=20")
    held = set(found.held_out["qord"].tolist())
    assert len(held) == found.counts["held_out_queries"] == 3
    assert not held & set(found.examples.rows["qord"].tolist())
    assert found.counts["queries"] == 20
    assert Counter(found.held_out["label"].tolist()) == {1: 3, 0: 15}


def test_a_held_out_query_without_negatives_is_not_counted_as_ranked_without_a_fault(tmp_path: Path) -> None:
    narrow = forty(tmp_path, listed=20)
    found = made(narrow, Mnrl(), "evaluation.queries=4", "negatives=2")
    held = found.held_out["qord"]
    assert set(held.tolist()) <= set(range(20))
    assert found.counts["held_out_queries"] == len(set(held.tolist())) < 4
    assert data.told(found.counts) == (
        f"{found.counts['examples']:,} examples of {found.counts['queries']:,} queries; "
        f"{found.counts['queries_left_out']:,} have too few negatives left"
    )
    assert found.counts["queries_left_out"] >= 16


# -- order -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "batch"), [(1000, 8), (7, 2), (POOL * 4 + 1, 4), (3, 8), (POOL * 8, 8)])
def test_every_epoch_has_every_example_once(count: int, batch: int) -> None:
    order = Order(count, batch, seed=3)
    for epoch in range(2):
        lo = epoch * order.epoch_steps
        pools = list(order.pools(lo, lo + order.epoch_steps))
        assert sorted(np.concatenate([pool.rows for pool in pools]).tolist()) == list(range(count))
        assert [pool.lo for pool in pools[1:]] == [pool.hi for pool in pools[:-1]]
        assert (pools[0].lo, pools[-1].hi) == (lo, lo + order.epoch_steps)


class Lengths:
    """Token counts without a tokenizer."""

    def __call__(self, rows: Rows) -> np.ndarray:
        return (rows["ord"] * 7919) % 97


def steps(
    monkeypatch: pytest.MonkeyPatch, method: Method, examples: Rows, lo: int, hi: int
) -> list[list[int]]:
    monkeypatch.setattr(data, "_Lengths", lambda base, texts: Lengths())
    recipe = Recipe(name="r", method="ce-bce", base="b", steps=1, batch=4, seed=5)
    whole = Examples(examples, NONE)
    found = data.steps_of(whole, method, recipe, None, None, lo, hi)  # type: ignore[arg-type]
    return [batch.tolist() for batch in found]


def test_any_steps_are_the_same_with_and_without_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    count = POOL * 4 * 2 + 5
    examples = {name: np.arange(count, dtype=np.int32) for name in ("qord", "ord", "label")}
    whole = steps(monkeypatch, CeBce(), examples, 0, 300)
    assert len(whole) == 300
    for lo, hi in [(0, 1), (63, 65), (100, 200), (129, 132), (299, 300)]:
        assert steps(monkeypatch, CeBce(), examples, lo, hi) == whole[lo:hi]


def test_examples_of_about_equal_length_are_together(monkeypatch: pytest.MonkeyPatch) -> None:
    count = POOL * 4
    examples = {name: np.arange(count, dtype=np.int32) for name in ("qord", "ord", "label")}
    batches = steps(monkeypatch, CeBce(), examples, 0, POOL)
    assert sorted(row for batch in batches for row in batch) == list(range(count))
    spread = [np.ptp([(row * 7919) % 97 for row in batch]) for batch in batches]
    assert np.mean(spread) < 4
    first = [(batch[0] * 7919) % 97 for batch in batches]
    assert first != sorted(first)


def test_no_batch_has_a_passage_that_is_no_negative_of_another_of_its_queries() -> None:
    draw = np.random.default_rng(1)
    count, size = 400, 16
    known = {int(q): draw.choice(40, 3, replace=False).tolist() for q in range(200)}
    rows: dict[str, list[int]] = {"qord": [], "positive": [], "negative_1": []}
    for q in range(200):
        for positive in known[q][:2]:  # the third is judged only
            rows["qord"].append(q)
            rows["positive"].append(positive)
            rows["negative_1"].append(int(draw.choice(sorted(set(range(40)) - set(known[q])))))
    examples = {name: np.array(column, np.int32) for name, column in rows.items()}
    apart = {
        "qord": np.repeat(np.arange(200, dtype=np.int32), 3),
        "ord": np.concatenate([np.array(ords, np.int32) for ords in known.values()]),
    }
    order = draw.permutation(count)
    batches = Mnrl().batches(Examples(examples, apart), order, size, None, (1,))  # type: ignore[arg-type]
    assert len(batches) == count // size
    assert max(Counter(np.concatenate(batches).tolist()).values()) == 1
    for batch in batches:
        queries = examples["qord"][batch].tolist()
        assert len(set(queries)) == len(queries)
        for row, q in zip(batch.tolist(), queries, strict=True):
            others = [other for other in batch.tolist() if other != row]
            shown = {int(examples[name][other]) for other in others for name in ("positive", "negative_1")}
            assert not shown & set(known[q])


def test_judged_passages_and_copies_of_positives_are_kept_apart_and_other_passages_are_not(
    tmp_path: Path,
) -> None:
    texts = {
        "p0": "The moon pulls the sea.",
        "copy": "the moon pulls the sea",
        "half": "Tides.",
        "p1": "Dew.",
    }
    many = {f"n{n}": f"text {n} of many {n}s" for n in range(6)}
    small = small_collection.make(
        tmp_path,
        min_rel=2,
        passages=texts | many,
        queries={"train": {"q0": "why tides", "q1": "why dew"}},
        qrels={"train": [("q0", "p0", 2), ("q0", "half", 1), ("q0", "n5", 0), ("q1", "p1", 2)]},
    )
    save_run(small, "bm25", {"q0": ["n0", "n1", "n5"], "q1": ["copy", "half", "p0"]})
    found = made(small, Mnrl(), "negatives=3")
    pids = small.pids.to_pylist()
    pairs = {(small.qids[q], pids[o]) for q, o in zip(*found.examples.apart.values(), strict=True)}
    assert pairs == {("q0", "p0"), ("q0", "copy"), ("q0", "half"), ("q1", "p1")}
    assert found.examples.apart["qord"].tolist() == sorted(found.examples.apart["qord"].tolist())


# -- the measure at the end ------------------------------------------------------------------------


def test_reranking_is_measured_by_hand() -> None:
    rows = {
        "qord": np.array([0, 0, 0, 1, 1, 2, 2], np.int32),
        "label": np.array([1, 0, 0, 1, 0, 1, 1], np.int32),
    }
    scores = np.array([0.5, 0.9, 0.1, 3.0, 1.0, 0.0, 1.0], np.float32)
    assert reranked(rows, scores) == {"queries": 3, "pairs": 7, "RR@10": 0.8333, "Success@1": 0.6667}


def test_a_tie_counts_against_the_positive() -> None:
    rows = {"qord": np.zeros(3, np.int32), "label": np.array([1, 0, 0], np.int32)}
    assert reranked(rows, np.ones(3, np.float32))["RR@10"] == pytest.approx(0.3333, abs=1e-4)
