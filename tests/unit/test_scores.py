"""Stored scores: parts that add up, read in bounded memory, merged when they lie in layers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_collection import make

from services.errors import InputError, MsmError, NotFound, UsageError
from services.scoring import score_parts
from services.scoring.score_folder import ScoredBy, ScoreFolder, ScorePart
from services.scoring.score_parts import ScoreSorter, Triples, write_part, write_stream
from services.scoring.scores import Scores, import_identity, list_scores, open_scores

BY = ScoredBy(ce="ce-small", fingerprint="a" * 64, model="b" * 64)


def triples(*rows):
    qords, ords, scores = zip(*rows, strict=True)
    return Triples(np.array(qords, np.int32), np.array(ords, np.int32), np.array(scores, np.float32))


def rows(blocks):
    return [tuple(map(float, row)) for block in blocks for row in zip(*block, strict=True)]


@pytest.fixture
def collection(tmp_path):
    return make(tmp_path, passages={"p1": "a", "p2": "b"}, queries={"train": {"q1": "x"}})


@pytest.fixture
def folder(collection):
    return ScoreFolder(collection.store, collection.name, BY)


def add(folder, *pairs):
    part = ScorePart.now(write_part(folder, triples(*pairs)))
    folder.add([part])
    return part


def test_a_pair_has_its_score_and_a_missing_one_has_none(folder):
    add(folder, (0, 3, 1.5), (0, 9, -2), (4, 3, 0.25))
    add(folder, (1, 3, 7))
    scores = Scores(folder)
    found = scores.of(np.array([0, 0, 1, 4, 4, 5], np.int32), np.array([3, 4, 3, 3, 9, 3], np.int32))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [1.5, np.nan, 7, 0.25, np.nan, np.nan])
    assert scores.pairs == scores.rows == 4


def test_pairs_may_be_asked_for_in_any_order_and_repeatedly(folder):
    add(folder, (0, 3, 1), (4, 3, 2))
    assert Scores(folder).of(np.array([4, 0, 4], np.int32), np.array([3, 3, 3], np.int32)).tolist() == [
        2,
        1,
        2,
    ]


def test_a_pair_scored_again_has_the_score_made_last(folder):
    add(folder, (0, 3, 1), (1, 1, 4))
    add(folder, (0, 3, 2))
    scores = Scores(folder)
    assert scores.of(np.array([0], np.int32), np.array([3], np.int32)).tolist() == [2]
    assert rows(scores.blocks()) == [(0, 3, 2), (1, 1, 4)]
    assert (scores.pairs, scores.rows) == (2, 3)


def test_a_pair_that_could_not_be_computed_is_known_and_has_no_score(folder):
    add(folder, (0, 3, np.nan), (0, 4, 1))
    scores = Scores(folder)
    asked = np.array([0, 0, 0], np.int32), np.array([3, 4, 5], np.int32)
    np.testing.assert_array_equal(scores.of(*asked), [np.nan, 1, np.nan])
    assert scores.known(*asked).tolist() == [True, True, False]
    assert rows(scores.blocks()) == [(0, 4, 1)]


def test_blocks_of_a_range_have_its_queries_only(folder, monkeypatch):
    monkeypatch.setattr(score_parts, "ROW_GROUP", 3)
    add(folder, *[(q, p, q + p / 10) for q in range(10) for p in range(2)])
    add(folder, *[(q, 5, q) for q in range(0, 10, 3)])
    blocks = list(Scores(folder).blocks(2, 7))
    assert [int(q) for block in blocks for q in block.qords] == [2, 2, 3, 3, 3, 4, 4, 5, 5, 6, 6, 6]
    assert all(a.qords[-1] < b.qords[0] for a, b in pairwise(blocks))


def test_two_that_add_at_the_same_moment_lose_nothing(folder):
    first, second = (ScorePart.now(write_part(folder, triples((q, 1, q)))) for q in (0, 1))
    reading = ScoreFolder(folder.store, folder.collection, BY)
    folder.add([first])
    reading.add([second])
    assert rows(Scores(folder).blocks()) == [(0, 1, 0), (1, 1, 1)]


def test_many_manifests_become_one(folder):
    for q in range(40):
        add(folder, (q, 1, q))
    manifests = [name for name in folder.store.children(folder.key) if name.endswith(".json")]
    assert len(manifests) <= 32
    assert Scores(folder).pairs == 40


def test_more_than_eight_layers_are_merged_and_nothing_changes_for_a_reader(folder):
    for layer in range(9):
        add(folder, (0, layer, layer), (5, 1, layer), (9, layer, -layer))
    before = Scores(folder)
    expected = rows(before.blocks())
    assert before.compact()
    after = Scores(folder)
    assert len(after.parts) == 1
    assert rows(after.blocks()) == expected
    assert rows(Scores(folder).blocks()) == rows(before.blocks())  # who began before goes on
    assert not after.compact()


def test_a_part_added_while_others_are_merged_counts(folder):
    for layer in range(9):
        add(folder, (0, layer, layer))
    merging = Scores(folder)
    add(folder, (0, 100, 5))
    merging.compact()
    assert rows(Scores(folder).blocks())[-1] == (0, 100, 5)
    assert Scores(folder).pairs == 10


def test_what_was_merged_is_removed_the_next_time(folder):
    def parquet():
        return [name for name in folder.store.children(folder.key) if name.endswith(".parquet")]

    for round_ in range(2):
        for layer in range(9):
            add(folder, (0, 20 * round_ + layer, layer))
        Scores(folder).compact()
    assert Scores(folder).pairs == 18
    assert len(parquet()) == 11  # the merged one, and the ten that went into it


@settings(max_examples=25)
@given(st.dictionaries(st.tuples(st.integers(0, 400), st.integers(0, 50)), st.floats(-9, 9, width=32)))
def test_pairs_in_any_order_come_back_sorted(given_pairs):
    with ScoreSorter(401, lambda q, p: f"{q} {p}") as sorter:
        for (q, p), score in given_pairs.items():
            sorter.add(triples((q, p, score)))
        found = rows(sorter.sorted())
    assert found == [(q, p, score) for (q, p), score in sorted(given_pairs.items())]


def test_a_pair_with_two_scores_is_refused_by_its_ids(collection):
    with ScoreSorter(1, lambda q, p: f"query {q}, passage {p}") as sorter:
        sorter.add(triples((0, 1, 2.5), (0, 1, 2.5)))
        assert rows(sorter.sorted()) == [(0, 1, 2.5)]
        sorter.add(triples((0, 1, 3)))
        with pytest.raises(InputError, match=r"query 0, passage 1 has two scores: 2\.5 and 3"):
            list(sorter.sorted())


def test_a_stream_is_written_as_parts(folder, monkeypatch):
    monkeypatch.setattr(score_parts, "PART_ROWS", 3)
    parts = write_stream(folder, [triples((q, 0, q), (q, 1, np.nan)) for q in range(4)])
    assert [(one.part.lo, one.part.hi, one.part.rows, one.dead) for one in parts] == [
        (0, 2, 4, 2),
        (2, 4, 4, 2),
    ]


def test_the_only_scores_are_the_default(collection, folder):
    with pytest.raises(NotFound, match="no scores") as none:
        open_scores(collection)
    assert none.value.hint == "msmctl score --collection small --ce CE"
    add(folder, (0, 0, 1))
    assert open_scores(collection).ce == "ce-small"
    assert open_scores(collection, "CE_small").ce == "ce-small"
    other = ScoreFolder(collection.store, collection.name, import_identity("theirs", "c" * 64))
    add(other, (0, 0, 1))
    with pytest.raises(UsageError, match="several cross-encoders: ce-small, theirs"):
        open_scores(collection)
    assert open_scores(collection, "theirs").folder.by.kind == "imported"
    with pytest.raises(NotFound, match="no scores by 'mine'; it has: ce-small, theirs"):
        open_scores(collection, "mine")


def test_scores_of_two_contents_under_one_name_are_told_apart(collection, folder):
    add(folder, (0, 0, 1))
    other = ScoreFolder(collection.store, collection.name, BY.model_copy(update={"fingerprint": "c" * 64}))
    add(other, (0, 0, 2))
    with pytest.raises(UsageError, match="ce-small@aaaaaaaaaaaa, ce-small@cccccccccccc"):
        open_scores(collection, "ce-small")
    assert open_scores(collection, "ce-small@cc").of(np.zeros(1, np.int32), np.zeros(1, np.int32)) == [2]


def test_a_damaged_part_names_its_file_and_the_remedy(collection, folder):
    part = add(folder, (0, 0, 1))
    path = collection.store.local_path(f"{folder.key}/{part.part.name}")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(MsmError, match=f"{part.part.name}: cannot be read") as damaged:
        open_scores(collection).of(np.zeros(1, np.int32), np.zeros(1, np.int32))
    assert "--force" in damaged.value.hint


def test_a_damaged_manifest_is_named(collection, folder):
    add(folder, (0, 0, 1))
    collection.store.write_json(f"{folder.key}/scores-x.json", {"parts": 3})
    with pytest.raises(MsmError, match=r"scores-x\.json: damaged"):
        list_scores(collection)
