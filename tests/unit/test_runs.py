"""A run on disk: its table, reading by query, one current run per (collection, split, system)."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from small_collection import make, update
from small_runs import inputs, save_run

from services.errors import MsmError
from services.mining.ranking import Candidates
from services.mining.runs import open_run, remove_ruins, run_folder, write_part

PASSAGES = {"a": "one two three", "b": "four five six", "c": "seven eight nine"}
QUERIES = {"train": {"q0": "x", "q1": "y", "q2": "z"}}
RANKED = {"q0": ["b", "a"], "q2": ["c", "b", "a"]}


def test_ranks_are_the_systems_own_and_rows_are_sorted(tmp_path):
    collection = make(tmp_path, passages=PASSAGES, queries=QUERIES)
    lists = [
        Candidates(2, np.array([5, 3], np.int32), np.array([2.5, 1.0], np.float32)),
        Candidates(7, np.array([4], np.int32), np.array([0.5], np.float32)),
    ]
    part = write_part(collection.store, "runs", 0, 10, lists)
    table = pq.read_table(collection.store.local_path(f"runs/{part.name}"))
    assert table.to_pydict() == {
        "qord": [2, 2, 7],
        "ord": [5, 3, 4],
        "rank": [1, 2, 1],
        "score": [2.5, 1.0, 0.5],
    }
    assert [str(kind) for kind in table.schema.types] == ["int32", "int32", "int32", "float"]
    assert write_part(collection.store, "again", 0, 10, lists).sha256 == part.sha256


def test_a_query_that_the_run_lacks_has_no_candidates(tmp_path):
    collection = make(tmp_path, passages=PASSAGES, queries=QUERIES)
    save_run(collection, "bm25", RANKED)
    run = open_run(collection, "train", "bm25")
    found = {c.qord: collection.pids_of(c.ords) for c in run.of(np.arange(3, dtype=np.int32))}
    assert found == {0: ["b", "a"], 1: [], 2: ["c", "b", "a"]}
    assert [c.qord for c in run] == [0, 2]
    assert open_run(collection, "train", "tas-b") is None


def test_a_new_run_replaces_the_old_one_and_its_parts(tmp_path):
    collection = make(tmp_path, passages=PASSAGES, queries=QUERIES)
    save_run(collection, "bm25", RANKED, folder="first")
    save_run(collection, "bm25", {"q1": ["a"]}, folder="second")
    assert collection.store.children(run_folder("small", "train", "bm25")) == ["run.json", "second"]
    assert [c.qord for c in open_run(collection, "train", "bm25")] == [1]


def test_a_run_of_an_earlier_state_does_not_replace_a_later_one(tmp_path):
    before = make(tmp_path, passages=PASSAGES, queries=QUERIES)
    after = update(tmp_path, passages={"d": "ten eleven twelve"})
    assert save_run(after, "bm25", RANKED, folder="later")
    assert not save_run(before, "bm25", {"q1": ["a"]}, folder="earlier")
    assert open_run(after, "train", "bm25").manifest.inputs.collection_version == 2
    assert "earlier" not in after.store.children(run_folder("small", "train", "bm25"))


def test_a_shallower_run_does_not_replace_a_deeper_one_of_the_same_inputs_unless_forced(tmp_path):
    collection = make(tmp_path, passages=PASSAGES, queries=QUERIES)
    save_run(collection, "bm25", RANKED, depth=50, folder="deep")
    assert save_run(collection, "bm25", RANKED, depth=10, folder="shallow")
    assert collection.store.children(run_folder("small", "train", "bm25")) == ["deep", "run.json"]
    assert open_run(collection, "train", "bm25").manifest.inputs.depth == 50
    assert save_run(collection, "bm25", RANKED, depth=10, folder="forced", forced=True)
    assert open_run(collection, "train", "bm25").manifest.inputs.depth == 10
    save_run(collection, "bm25", RANKED, depth=5, folder="other", system_fingerprint="changed")
    assert open_run(collection, "train", "bm25").manifest.inputs.depth == 5


def test_a_run_serves_what_is_asked_of_the_same_state_to_no_more_depth(tmp_path):
    collection = make(tmp_path, passages=PASSAGES, queries=QUERIES)
    mined = inputs(collection, "train", "bm25", depth=50)
    assert mined.serve(inputs(collection, "train", "bm25", depth=30))
    assert not mined.serve(inputs(collection, "train", "bm25", depth=51))
    for change in ({"system_fingerprint": "other"}, {"engine": "exact"}, {"all_queries": True},
                   {"collection_fingerprint": "other"}, {"exclusion": {"version": 0}}):  # fmt: skip
        assert not mined.serve(inputs(collection, "train", "bm25", **change))


def test_a_damaged_part_says_how_to_mend_it(tmp_path):
    collection = make(tmp_path, passages=PASSAGES, queries=QUERIES)
    save_run(collection, "bm25", RANKED)
    run = open_run(collection, "train", "bm25")
    collection.store.write_bytes(f"{run.manifest.folder}/{run.manifest.parts[0].name}", b"nonsense")
    with pytest.raises(MsmError) as caught:
        list(open_run(collection, "train", "bm25"))
    assert "msmctl mine --collection small --split train --system bm25 --force" in caught.value.hint


def test_what_ended_jobs_left_behind_is_removed_and_the_current_run_stays(tmp_path):
    collection = make(tmp_path, passages=PASSAGES, queries=QUERIES)
    key = run_folder("small", "train", "bm25")
    save_run(collection, "bm25", RANKED, folder="current")
    for job in ("cancelled", "running"):
        write_part(collection.store, f"{key}/{job}", 0, 1, [])
    remove_ruins(collection.store, key, lambda job: job != "running")
    assert collection.store.children(key) == ["current", "run.json", "running"]


def test_what_a_cut_off_attempt_left_behind_is_removed(tmp_path):
    collection = make(tmp_path, passages=PASSAGES, queries=QUERIES)
    save_run(collection, "bm25", {"q0": ["c"]}, folder="made")
    save_run(collection, "bm25", RANKED, folder="made")
    folder = f"{run_folder('small', 'train', 'bm25')}/made"
    run = open_run(collection, "train", "bm25")
    assert collection.store.children(folder) == [run.manifest.parts[0].name]


def test_a_manifest_that_is_none_says_so(tmp_path):
    collection = make(tmp_path, passages=PASSAGES, queries=QUERIES)
    collection.store.write_json(f"{run_folder('small', 'train', 'bm25')}/run.json", {"parts": 3})
    with pytest.raises(MsmError, match=r"run\.json") as caught:
        open_run(collection, "train", "bm25")
    assert caught.value.hint
