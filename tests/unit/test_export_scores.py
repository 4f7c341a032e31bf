"""All scores of a cross-encoder, as the published pickle and as parquet; and back again."""

from __future__ import annotations

import gzip
import pickle
import pickletools

import numpy as np
import pytest
from export_kit import SCORES, export, loaded, numbered, request, small
from hypothesis import given, settings
from hypothesis import strategies as st
from small_collection import make, update
from small_scores import ELECTRA, save_scores

from services.errors import NotFound, UsageError
from services.exports.export import plan, write
from services.imports.pickle_scores import read_pickle_scores


def nested(as_=str):
    found = {}
    for (qid, pid), score in SCORES.items():
        found.setdefault(as_(qid), {})[as_(pid)] = score
    return found


def unpickled(file):
    return pickle.loads(gzip.decompress(file.read_bytes()))


def imported(file):
    found = {}
    for one in read_pickle_scores(file):
        found.setdefault(one.qid, {}).update(zip(list(one.pids), one.scores.tolist(), strict=True))
    return found


def test_the_pickle_is_a_dict_of_dicts_of_floats_for_plain_pickle(tmp_path):
    manifest = export(small(tmp_path), "scores-pickle", tmp_path / "s.pkl.gz")
    assert unpickled(tmp_path / "s.pkl.gz") == nested()
    assert imported(tmp_path / "s.pkl.gz") == nested()
    assert (manifest.rows, manifest.queries, manifest.negatives) == (9, 3, 0)
    assert manifest.inputs.ce["name"] == "ms-marco-MiniLM-L6-v2"
    assert manifest.inputs.split is None


def test_keys_are_integers_where_ids_are(tmp_path):
    export(small(tmp_path, integers=True), "scores-pickle", tmp_path / "s.pkl.gz")
    assert unpickled(tmp_path / "s.pkl.gz") == nested(lambda id_: int(numbered(id_)))


def test_its_opcodes_are_those_of_dicts_and_numbers_alone(tmp_path):
    export(small(tmp_path), "scores-pickle", tmp_path / "s.pkl")
    names = {code.name for code, _, _ in pickletools.genops((tmp_path / "s.pkl").read_bytes())}
    assert names == {"PROTO", "EMPTY_DICT", "MARK", "BINUNICODE", "BINFLOAT", "SETITEMS", "STOP"}


@settings(max_examples=25)
@given(
    ids=st.one_of(
        st.lists(st.integers(0, 2**63 - 1).map(str), min_size=1, max_size=8, unique=True),
        st.lists(st.text("aä€𝄞0", min_size=1, max_size=20), min_size=1, max_size=8, unique=True),
    ),
    data=st.data(),
)
def test_any_ids_and_scores_come_back(tmp_path_factory, ids, data):
    folder = tmp_path_factory.mktemp("any")
    numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
    asked = st.dictionaries(st.tuples(st.sampled_from(ids), st.sampled_from(ids)), numbers, min_size=1)
    scores = data.draw(asked)
    collection = make(folder, passages=dict.fromkeys(ids, "x"), queries={"train": dict.fromkeys(ids, "y")})
    save_scores(collection, scores)
    export(collection, "scores-pickle", folder / "s.pkl.gz")
    typed = int if collection.state.integer_ids else str
    expected = {}
    for (qid, pid), score in scores.items():
        expected.setdefault(typed(qid), {})[typed(pid)] = score
    assert unpickled(folder / "s.pkl.gz") == expected
    assert imported(folder / "s.pkl.gz") == expected


@pytest.mark.parametrize("block", [1, 2, 1000])
def test_a_killed_export_goes_on_and_has_the_same_bytes(tmp_path, monkeypatch, block):
    monkeypatch.setattr("services.negatives.reader.BLOCK", block)
    collection = small(tmp_path)
    export(collection, "scores-pickle", tmp_path / "whole.pkl.gz")

    class Killed(BaseException):
        pass

    def kill(queries):
        if queries:
            raise Killed

    with pytest.raises(Killed):
        write(plan(collection, request("scores-pickle", tmp_path / "cut.pkl.gz")), kill)
    assert not (tmp_path / "cut.pkl.gz").exists()
    export(collection, "scores-pickle", tmp_path / "cut.pkl.gz")
    assert (tmp_path / "cut.pkl.gz").read_bytes() == (tmp_path / "whole.pkl.gz").read_bytes()
    assert unpickled(tmp_path / "cut.pkl.gz") == nested()


def test_scores_of_removed_passages_are_left_out(tmp_path):
    small(tmp_path)
    export(update(tmp_path, delete=["p4"]), "scores-pickle", tmp_path / "s.pkl.gz")
    assert unpickled(tmp_path / "s.pkl.gz") == {
        "q1": {"p1": 5.0, "p3": -2.0, "p5": -6.0, "p6": 2.0}, "q2": {"p3": 4.0, "p5": -1.25},
    }  # fmt: skip


def test_of_several_cross_encoders_one_must_be_named(tmp_path):
    collection = small(tmp_path)
    save_scores(collection, {("q1", "p1"): 1.0}, ELECTRA)
    with pytest.raises(UsageError, match="several cross-encoders"):
        plan(collection, request("scores-pickle", tmp_path / "s.pkl.gz"))
    export(collection, "scores-pickle", tmp_path / "s.pkl.gz", ce=ELECTRA)
    assert unpickled(tmp_path / "s.pkl.gz") == {"q1": {"p1": 1.0}}
    with pytest.raises(NotFound, match="no scores"):
        plan(small(tmp_path / "b", scored=False), request("scores-pickle", tmp_path / "t.pkl.gz"))


def test_parquet_has_lists_per_query(tmp_path):
    export(small(tmp_path, integers=True), "scores-parquet", tmp_path / "out")
    assert loaded(tmp_path / "out", "list") == [
        {"query_id": 1, "corpus_id": [101, 103, 104, 105, 106], "score": [5.0, -2.0, 0.5, -6.0, 2.0]},
        {"query_id": 2, "corpus_id": [103, 104, 105], "score": [4.0, 3.0, -1.25]},
        {"query_id": 3, "corpus_id": [104], "score": [1.5]},
    ]


def test_or_a_row_per_pair_beside_it(tmp_path):
    collection = small(tmp_path)
    export(collection, "scores-parquet", tmp_path / "out")
    export(collection, "scores-parquet", tmp_path / "out", options={"form": "long"})
    assert loaded(tmp_path / "out", "long") == [
        {"query_id": qid, "corpus_id": pid, "score": score} for (qid, pid), score in SCORES.items()
    ]
    assert len(loaded(tmp_path / "out", "list")) == 3


def test_float32_scores_come_out_exactly(tmp_path):
    collection = make(tmp_path, passages={"1": "x"}, queries={"train": {"2": "y"}})
    save_scores(collection, {("2", "1"): 0.1})
    export(collection, "scores-pickle", tmp_path / "s.pkl.gz")
    assert unpickled(tmp_path / "s.pkl.gz") == {2: {1: float(np.float32(0.1))}}
