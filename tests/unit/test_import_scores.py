"""Scores that others made: every format gives the same stored scores, and nothing is ever half there."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.errors import Conflict, InputError, UsageError
from services.scoring.scores import list_scores, open_scores
from tests.unit.collection_kit import run_main
from tests.unit.scores_kit import (
    INTEGERS,
    TEXTS,
    WRITERS,
    Nested,
    as_kd,
    as_pairs,
    as_pickle,
    collection,
    imported,
    stored,
    typed,
)


@pytest.mark.parametrize("scores", [INTEGERS, TEXTS], ids=["integers", "texts"])
@pytest.mark.parametrize("kind", WRITERS)
def test_scores_are_stored_as_the_file_has_them(tmp_path: Path, kind: str, scores: Nested) -> None:
    format_name, write = WRITERS[kind]
    opened = collection(tmp_path, scores)
    outcome = imported(opened, write(tmp_path, scores), format_name)
    assert stored(opened) == scores
    assert (outcome.pairs, outcome.queries, outcome.fresh) == (3, 2, False)
    assert open_scores(opened).folder.by.kind == "imported"


def test_every_format_of_the_same_scores_has_the_same_fingerprint(tmp_path: Path) -> None:
    opened = collection(tmp_path, INTEGERS)
    outcomes = [
        imported(opened, write(tmp_path, INTEGERS), name, dry_run=True) for name, write in WRITERS.values()
    ]
    assert len({outcome.fingerprint for outcome in outcomes}) == 1
    assert list_scores(opened) == []


floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
many = st.dictionaries(
    st.integers(0, 30).map(str), st.dictionaries(st.integers(0, 90).map(str), floats, min_size=1), min_size=1
)


@settings(max_examples=25)
@given(scores=many)
def test_any_scores_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, scores: Nested
) -> None:
    folder = tmp_path_factory.mktemp("scores")
    opened = collection(folder, scores)
    for name, (format_name, write) in WRITERS.items():
        imported(opened, write(folder, scores), format_name, name=name)
        assert stored(opened, name) == scores


def test_the_same_again_is_fresh_and_other_scores_want_replace(tmp_path: Path) -> None:
    opened = collection(tmp_path, INTEGERS)
    path = as_pickle(tmp_path, INTEGERS)
    imported(opened, path)
    assert imported(opened, path).fresh
    other = as_pickle(tmp_path, {"5": {"10": 9.0}})
    with pytest.raises(Conflict, match="other scores by 'teacher'"):
        imported(opened, other)
    assert stored(opened) == INTEGERS
    imported(opened, other, replace=True)
    assert stored(opened) == {"5": {"10": 9.0}}
    assert len(list_scores(opened)) == 1


def test_a_dry_run_counts_and_keeps_nothing(tmp_path: Path) -> None:
    opened = collection(tmp_path, INTEGERS)
    outcome = imported(opened, as_pickle(tmp_path, INTEGERS), dry_run=True)
    assert outcome.pairs == 3
    assert list_scores(opened) == []
    assert not list((tmp_path / "store" / "collections" / "small").rglob("scores/*"))


def test_the_name_of_a_cross_encoder_is_refused(tmp_path: Path) -> None:
    opened = collection(tmp_path, INTEGERS)
    with pytest.raises(Conflict, match="scores are computed here"):
        imported(opened, as_pickle(tmp_path, INTEGERS), name="ms-marco-MiniLM-L6-v2")
    with pytest.raises(UsageError):
        imported(opened, as_pickle(tmp_path, INTEGERS), name="a/b")


UNKNOWN = {"5": {"10": 1.5, "99": 3.0, "98": 4.0}, "8": {"10": 2.0}, "7": {"12": 0.5}}


@pytest.mark.parametrize("kind", WRITERS)
def test_unknown_ids_fail_with_their_place(tmp_path: Path, kind: str) -> None:
    format_name, write = WRITERS[kind]
    opened = collection(tmp_path, INTEGERS)
    with pytest.raises(InputError, match=r"(byte|row|:\d|not in collection)") as error:
        imported(opened, write(tmp_path, UNKNOWN), format_name)
    assert "not in collection 'small'" in error.value.message
    assert "--on-error skip" in str(error.value.hint)
    assert list_scores(opened) == []


@pytest.mark.parametrize("kind", WRITERS)
def test_unknown_ids_are_left_out_and_written_down(tmp_path: Path, kind: str) -> None:
    format_name, write = WRITERS[kind]
    opened = collection(tmp_path, INTEGERS)
    outcome = imported(opened, write(tmp_path, UNKNOWN), format_name, on_error="skip")
    assert stored(opened) == {"5": {"10": 1.5}, "7": {"12": 0.5}}
    assert outcome.unknown_pairs == 2
    assert outcome.unknown_queries == 1
    assert outcome.rejects is not None
    rows = [json.loads(line) for line in Path(outcome.rejects).read_text().splitlines()]
    assert len(rows) == outcome.rejected
    assert any("'8'" in row["found"] for row in rows)


def test_a_file_of_another_collection_is_an_error(tmp_path: Path) -> None:
    opened = collection(tmp_path, INTEGERS)
    with pytest.raises(InputError, match="holds no score of collection"):
        imported(opened, as_pickle(tmp_path, {"1": {"2": 0.5}}), on_error="skip")


def test_a_query_that_is_there_twice_is_an_error(tmp_path: Path) -> None:
    opened = collection(tmp_path, INTEGERS)
    path = tmp_path / "twice.pkl"
    path.write_bytes(pickle.dumps({5: {10: 1.0}, "5": {11: 1.0}}))
    with pytest.raises(InputError, match="query '5' is there a second time"):
        imported(opened, path)


def test_a_pair_with_two_scores_is_an_error(tmp_path: Path) -> None:
    opened = collection(tmp_path, INTEGERS)
    path = tmp_path / "kd.tsv"
    path.write_text("1.0\t2.0\t5\t10\t11\n1.5\t2.0\t5\t10\t11\n")
    with pytest.raises(InputError, match=r"kd\.tsv: query '5', passage '10' has two scores: 1 and 1\.5"):
        imported(opened, path, "kd")


def test_a_score_beyond_float32_is_an_error(tmp_path: Path) -> None:
    opened = collection(tmp_path, INTEGERS)
    with pytest.raises(InputError, match="beyond what float32 holds"):
        imported(opened, as_pickle(tmp_path, {"5": {"10": 1e300}}))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("1.0\t2.0\t5\t10\n", ":1: 4 columns, not 5"),
        ("1.0\t2.0\t5\t10\t11\nx\t2.0\t5\t10\t11\n", ":2: pos_score 'x' is no finite number"),
        ("nan\t2.0\t5\t10\t11\n", "score 'nan' is no finite number"),
        ("", "empty"),
    ],
)
def test_broken_kd_lines_are_named(tmp_path: Path, content: str, says: str) -> None:
    opened = collection(tmp_path, INTEGERS)
    path = tmp_path / "kd.tsv"
    path.write_text(content)
    with pytest.raises(InputError) as error:
        imported(opened, path, "kd")
    assert says in error.value.message


def test_an_import_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    opened = collection(tmp_path, INTEGERS)
    path = tmp_path / "cut.pkl"
    path.write_bytes(pickle.dumps(typed(INTEGERS))[:-4])
    with pytest.raises(InputError, match="byte"):
        imported(opened, path)
    assert list_scores(opened) == []


def test_the_command_prints_what_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = collection(tmp_path, INTEGERS)
    monkeypatch.setenv("MSM_HOME", str(tmp_path))
    path = as_pickle(tmp_path, INTEGERS)
    words: list[str | Path] = [
        "import",
        "scores-pickle",
        path,
        "--collection",
        "small",
        "--name",
        "teacher",
        "--json",
    ]
    done = run_main(monkeypatch, capsys, *words)
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout)["pairs"] == 3
    assert stored(opened) == INTEGERS
    again = run_main(monkeypatch, capsys, *words)
    assert "fresh, skipped" in again.stderr
    missing = run_main(monkeypatch, capsys, "import", "kd", tmp_path / "none", "-c", "small", "--name", "x")
    assert missing.code == 1
    assert "no such file" in missing.stderr


def test_many_pairs_come_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.imports.resolve._PAIRS", 50)
    rng = np.random.default_rng(3)
    scores = {str(q): {str(p): float(np.float32(rng.normal())) for p in rng.permutation(90)[:40]}
              for q in rng.permutation(30)}  # fmt: skip
    opened = collection(tmp_path, scores)
    imported(opened, as_pairs(tmp_path, scores), "scores-parquet")
    assert stored(opened) == scores


@pytest.mark.parametrize("scores", [INTEGERS, TEXTS], ids=["integers", "texts"])
@pytest.mark.parametrize(
    ("format_name", "name", "options"),
    [
        ("scores-pickle", "again.pkl.gz", []),
        ("scores-parquet", "again", ["--form", "list"]),
        ("scores-parquet", "again", ["--form", "long"]),
    ],
)
def test_what_is_exported_is_imported_as_the_same_scores(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    scores: Nested,
    format_name: str,
    name: str,
    options: list[str],
) -> None:
    monkeypatch.setenv("MSM_HOME", str(tmp_path))
    opened = collection(tmp_path, scores)
    first = imported(opened, as_pickle(tmp_path, scores))
    path = tmp_path / name
    done = run_main(monkeypatch, capsys, "export", format_name, "-o", path, "--ce", "teacher", *options)
    assert done.code == 0, done.stderr
    again = imported(opened, path, format_name, name="again")
    assert again.fingerprint == first.fingerprint
    assert stored(opened, "again") == scores


def test_an_import_that_is_killed_at_the_end_is_not_there_and_can_be_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = collection(tmp_path, INTEGERS)
    path = as_pickle(tmp_path, INTEGERS)
    with monkeypatch.context() as patch:
        patch.setattr("services.scoring.score_folder.ScoreFolder.add", _killed)
        with pytest.raises(KeyboardInterrupt):
            imported(opened, path)
    assert list_scores(opened) == []
    imported(opened, path)
    assert stored(opened) == INTEGERS


def test_killed_before_the_scores_in_its_place_are_gone_the_same_command_finishes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = collection(tmp_path, INTEGERS)
    imported(opened, as_kd(tmp_path, {"5": INTEGERS["5"]}), "kd")
    path = as_pickle(tmp_path, INTEGERS)
    with monkeypatch.context() as patch:
        patch.setattr("services.store.Store.remove", _killed)
        with pytest.raises(KeyboardInterrupt):
            imported(opened, path, replace=True)
    assert len(list_scores(opened)) == 2
    with pytest.raises(Conflict, match="has other scores by 'teacher'"):
        imported(opened, path)
    assert imported(opened, path, replace=True).fresh
    assert stored(opened) == INTEGERS


def test_a_file_without_a_known_score_takes_nobodys_place(tmp_path: Path) -> None:
    opened = collection(tmp_path, INTEGERS)
    imported(opened, as_pickle(tmp_path, INTEGERS))
    (tmp_path / "foreign.pkl").write_bytes(pickle.dumps({99: {98: 1.0}}))
    with pytest.raises(InputError, match="holds no score"):
        imported(opened, tmp_path / "foreign.pkl", replace=True, on_error="skip")
    assert stored(opened) == INTEGERS


def _killed(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt
