"""Scores that others made: every format gives the same stored scores, and nothing is ever half there."""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.collections.collection import Collection
from services.errors import Conflict, InputError, UsageError
from services.imports.registry import SCORES
from services.imports.scores import ScoresOutcome, ScoresRequest, import_scores
from services.scoring.scores import list_scores, open_scores
from tests.unit.collection_kit import run_main
from tests.unit.small_collection import make

Nested = dict[Any, dict[Any, float]]

INTEGERS = {"5": {"10": 1.5, "11": -2.25}, "7": {"12": 0.5}}
TEXTS = {"q-a": {"x1": 1.5, "x2": -2.25}, "q-b": {"x3": 0.5}}


def collection(folder: Path, scores: Nested) -> Collection:
    pids = sorted({pid for row in scores.values() for pid in row})
    return make(
        folder,
        passages={pid: f"passage {pid}" for pid in pids},
        queries={"train": {qid: f"query {qid}" for qid in scores}},
    )


def typed(scores: Nested) -> Nested:
    """With integers where the ids are."""

    def one(name: str) -> int | str:
        return int(name) if name.isdecimal() else name

    return {one(qid): {one(pid): score for pid, score in row.items()} for qid, row in scores.items()}


def as_pickle(folder: Path, scores: Nested) -> Path:
    path = folder / "scores.pkl.gz"
    path.write_bytes(gzip.compress(pickle.dumps(typed(scores))))
    return path


def as_lists(folder: Path, scores: Nested) -> Path:
    path = folder / "lists.parquet"
    rows = typed(scores)
    columns = {
        "query_id": list(rows),
        "corpus_id": [list(row) for row in rows.values()],
        "score": [list(row.values()) for row in rows.values()],
    }
    pq.write_table(pa.table(columns), path, row_group_size=1)
    return path


def as_pairs(folder: Path, scores: Nested) -> Path:
    path = folder / "pairs.parquet"
    rows = [(qid, pid, score) for qid, row in typed(scores).items() for pid, score in row.items()]
    qids, pids, values = zip(*reversed(rows), strict=True)
    pq.write_table(
        pa.table({"query_id": qids, "corpus_id": pids, "score": pa.array(values, pa.float32())}), path
    )
    return path


def as_folder(folder: Path, scores: Nested) -> Path:
    (folder / "list").mkdir()
    for n, (qid, row) in enumerate(scores.items()):
        as_lists(folder, {qid: row}).rename(folder / "list" / f"train-{n:05d}-of-00002.parquet")
    unfinished = folder / "list" / ".scores-parquet.partial" / "long~train"
    unfinished.mkdir(parents=True)
    (unfinished / "0.parquet").write_bytes(b"PAR1")
    return folder / "list"


def as_kd(folder: Path, scores: Nested) -> Path:
    path = folder / "kd.tsv"
    lines = ["pos_score\tneg_score\tqid\tpos_pid\tneg_pid\n"]
    for qid, row in scores.items():
        first = next(iter(row))
        lines += [f"{row[first]}\t{score}\t{qid}\t{first}\t{pid}\n" for pid, score in row.items()]
    path.write_text("".join(lines))
    return path


WRITERS: dict[str, tuple[str, Callable[[Path, Nested], Path]]] = {
    "pickle": ("scores-pickle", as_pickle), "lists": ("scores-parquet", as_lists),
    "pairs": ("scores-parquet", as_pairs), "folder": ("scores-parquet", as_folder), "kd": ("kd", as_kd),
}  # fmt: skip


def imported(
    opened: Collection, path: Path, format_name: str = "scores-pickle", **more: Any
) -> ScoresOutcome:
    return import_scores(
        opened, ScoresRequest(SCORES[format_name], path, more.pop("name", "teacher"), **more)
    )


def stored(opened: Collection, name: str = "teacher") -> Nested:
    found: Nested = {}
    for block in open_scores(opened, name).blocks():
        pids = opened.pids_of(block.ords)
        for qord, pid, score in zip(block.qords.tolist(), pids, block.scores.tolist(), strict=True):
            found.setdefault(opened.qids[qord], {})[pid] = score
    return found


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


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
    with pytest.raises(InputError, match=r"query '5', passage '10' has two scores: 1 and 1\.5"):
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


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"query_id": [5], "corpus_id": [[10, 11]], "score": [[1.0]]}, "2 passages and 1 scores"),
        ({"query_id": [5], "corpus_id": [[10]], "score": [[float("nan")]]}, "no finite number"),
        ({"query_id": [5, None], "corpus_id": [10, 11], "score": [1.0, 2.0]}, "row 2: something in the row"),
        ({"query_id": [5], "corpus_id": [[10, None]], "score": [[1.0, 2.0]]}, "row 1: something in the row"),
        ({"query_id": [5], "corpus_id": [10], "score": ["1.0"]}, "these types are no scores"),
        ({"query_id": [5], "corpus_id": [[10]], "score": [1.0]}, "these types are no scores"),
        ({"query_id": [5], "text": ["x"]}, "its columns are query_id, text"),
    ],
)
def test_broken_parquet_is_named(tmp_path: Path, columns: dict[str, Any], says: str) -> None:
    opened = collection(tmp_path, INTEGERS)
    path = tmp_path / "scores.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(InputError) as error:
        imported(opened, path, "scores-parquet")
    assert says in error.value.message


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    opened = collection(tmp_path, INTEGERS)
    path = tmp_path / "scores.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="no parquet file, or a damaged one"):
        imported(opened, path, "scores-parquet")


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


def _killed(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt
