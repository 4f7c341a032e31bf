"""Scores in parquet: of which columns and types they may be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.errors import InputError
from services.exports.verify import verify
from tests.unit.scores_kit import INTEGERS, collection, imported, stored


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
        (
            {"query_id": [5], "corpus_id": [[7] * 5_000_000], "score": [[1.0] * 5_000_000]},
            "may hold 5,000,000 values",
        ),
    ],
)
def test_broken_parquet_is_named(tmp_path: Path, columns: dict[str, Any], says: str) -> None:
    opened = collection(tmp_path, INTEGERS)
    path = tmp_path / "scores.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(InputError) as error:
        imported(opened, path, "scores-parquet")
    assert says in error.value.message


SCORES = {"q-a": {"x1": 1.5, "x2": -2.25}, "q-b": {"x3": 0.5, "x4": 8.0}}
ROWS = [(qid, pid, score) for qid, row in SCORES.items() for pid, score in row.items()]
PAIRS = [list(column) for column in zip(*ROWS, strict=True)]
LISTS = [
    list(SCORES),
    [list(row) for row in SCORES.values()],
    [list(row.values()) for row in SCORES.values()],
]


@pytest.mark.parametrize(
    ("values", "ids", "scores"),
    [
        (PAIRS, pa.large_string(), pa.float64()),
        (PAIRS, pa.string_view(), pa.float16()),
        (PAIRS, pa.dictionary(pa.int8(), pa.string()), pa.float32()),
        (LISTS, pa.list_(pa.string(), 2), pa.list_(pa.float32(), 2)),
        (LISTS, pa.large_list(pa.large_string()), pa.list_(pa.float64())),
        (LISTS, pa.list_(pa.dictionary(pa.int8(), pa.string())), pa.list_(pa.float32())),
    ],
    ids=str,
)
def test_scores_are_the_same_in_whatever_types_they_are_laid_out(
    tmp_path: Path, values: list[Any], ids: pa.DataType, scores: pa.DataType
) -> None:
    opened = collection(tmp_path, SCORES)
    path = tmp_path / "scores.parquet"
    qids = ids if values is PAIRS else pa.dictionary(pa.int8(), pa.string())
    columns = [pa.array(one, kind) for one, kind in zip(values, (qids, ids, scores), strict=True)]
    pq.write_table(pa.table(columns, ["query_id", "corpus_id", "score"]), path)
    imported(opened, path, "scores-parquet")
    assert stored(opened) == SCORES
    assert verify(path, opened).ok


@pytest.mark.parametrize(
    "qids",
    [pa.array([b"5"]), pa.array([True]), pa.array([5.0]), pa.array([5], pa.date32())],
    ids=lambda one: str(one.type),
)
def test_what_can_be_no_id_is_refused_by_import_and_verify(tmp_path: Path, qids: pa.Array) -> None:
    opened = collection(tmp_path, INTEGERS)
    path = tmp_path / "scores.parquet"
    pq.write_table(pa.table([qids, [10], [1.0]], ["query_id", "corpus_id", "score"]), path)
    with pytest.raises(InputError, match="these types are no scores"):
        imported(opened, path, "scores-parquet")
    assert verify(path, opened).findings["malformed"] == 1


def test_a_query_in_two_lists_is_refused_by_import_and_verify(tmp_path: Path) -> None:
    opened = collection(tmp_path, INTEGERS)
    path = tmp_path / "scores.parquet"
    rows = {"query_id": [5, 7, 5], "corpus_id": [[10], [12], [11]], "score": [[1.0], [2.0], [3.0]]}
    pq.write_table(pa.table(rows), path)
    with pytest.raises(InputError, match="row 3: query '5' is there a second time"):
        imported(opened, path, "scores-parquet")
    report = verify(path, opened)
    assert report.findings["repeats"] == 1
    assert report.examples[0]["line"] == 3


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    opened = collection(tmp_path, INTEGERS)
    path = tmp_path / "scores.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="no parquet file, or a damaged one"):
        imported(opened, path, "scores-parquet")


def _written(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path, compression="zstd")
    return path


def test_a_folder_of_lists_and_pairs_is_refused_naming_one_of_each(tmp_path: Path) -> None:
    (tmp_path / "both").mkdir()
    _written(tmp_path / "both" / "list.parquet", query_id=[5], corpus_id=[[10]], score=[[1.0]])
    _written(tmp_path / "both" / "long.parquet", query_id=[5], corpus_id=[11], score=[1.0])
    with pytest.raises(InputError) as error:
        imported(collection(tmp_path, INTEGERS), tmp_path / "both", "scores-parquet")
    assert "list.parquet has lists per query" in error.value.message
    assert "long.parquet a row per pair" in error.value.message
    assert "name one of the subsets" in (error.value.hint or "")


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    pq.write_table(pa.table([[5], [10], [1.0], [2.0]], ["query_id", "corpus_id", "score", "score"]), path)
    with pytest.raises(InputError, match="has two columns 'score'"):
        imported(collection(tmp_path, INTEGERS), path, "scores-parquet")


def test_the_name_of_a_column_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    table = pa.table({"query_id": [5], "corpus_id": [10], "score": [1.0], "zzzz": [1]})
    pq.write_table(table, path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"zzzz", b"\xff\xfe\xff\xff"))
    with pytest.raises(InputError, match="name of a column is broken UTF-8"):
        imported(collection(tmp_path, INTEGERS), path, "scores-parquet")


def test_a_type_that_the_library_does_not_know_is_an_error_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _written(tmp_path / "scores.parquet", query_id=[5], corpus_id=[10], score=[1.0])

    def unknown(*_: object, **__: object) -> None:
        raise pa.ArrowNotImplementedError("Integers with more than 64 bits not implemented")

    monkeypatch.setattr(pq, "ParquetFile", unknown)
    with pytest.raises(InputError, match="a damaged one: Integers with more than 64 bits"):
        imported(collection(tmp_path, INTEGERS), path, "scores-parquet")


def test_a_rejected_list_says_how_much_is_left_out_with_it(tmp_path: Path) -> None:
    opened = collection(tmp_path, INTEGERS)
    scores = [[1.0, float("nan")], [0.5]]
    path = _written(tmp_path / "s.parquet", query_id=[5, 7], corpus_id=[[10, 11], [12]], score=scores)
    outcome = imported(opened, path, "scores-parquet", on_error="skip")
    assert outcome.rejects
    assert outcome.rejected == 1
    assert json.loads(Path(outcome.rejects).read_text())["found"] == (
        "query '5', passage '11': score nan is no finite number; the query's whole list of 2 goes with it"
    )
    assert stored(opened) == {"7": {"12": 0.5}}


def test_a_wrong_row_leaves_its_neighbours_in(tmp_path: Path) -> None:
    opened = collection(tmp_path, INTEGERS)
    path = _written(
        tmp_path / "s.parquet", query_id=[5, 5, 7], corpus_id=[10, 11, 12], score=[1.5, float("nan"), 0.5]
    )
    assert imported(opened, path, "scores-parquet", on_error="skip").rejected == 1
    assert stored(opened) == {"5": {"10": 1.5}, "7": {"12": 0.5}}


def test_an_id_longer_than_any_is_left_out(tmp_path: Path) -> None:
    opened = collection(tmp_path, {"q": {"a": 1.0}})
    path = _written(tmp_path / "s.parquet", query_id=["q", "q"], corpus_id=["a", "b" * 600], score=[1.0, 2.0])
    assert imported(opened, path, "scores-parquet", on_error="skip").rejected == 1
    assert stored(opened) == {"q": {"a": 1.0}}
