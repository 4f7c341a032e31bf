"""Every kind of source gives the same collection."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import sys
from pathlib import Path
from typing import Any

import ir_datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from collection_kit import Kit, live_texts

from services.collections.bad_row import BadRow
from services.collections.change import How, Outcome
from services.collections.fields import parse_declarations, parse_value
from services.collections.importer import ImportRequest, import_collection
from services.collections.sources import files
from services.collections.sources.beir import beir_folder
from services.collections.sources.huggingface import hf_dataset
from services.collections.sources.ir_datasets import ir_dataset
from services.collections.sources.source import Given
from services.errors import InputError, Unavailable

CORPUS = [
    {"_id": "p1", "title": "Tides", "text": "The sea.", "metadata": {"year": 1999, "tag": "sea"}},
    {"_id": "p2", "title": "", "text": "The fog.", "metadata": {}},
    {"_id": "p3", "title": "Title only", "text": "", "metadata": {"year": 2001}},
]
QUERIES = [{"_id": "q1", "text": "sea?"}, {"_id": "q2", "text": "fog?"}, {"_id": "q3", "text": "unjudged?"}]
TEXTS = {"p1": "Tides The sea.", "p2": "The fog.", "p3": "Title only"}


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)


def take(kit: Kit, given: Given, *fields: str) -> Outcome:
    return import_collection(
        kit.store, ImportRequest("c", given, parse_declarations(list(fields))), How(kit.locks)
    )


def jsonl(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def beir(kit: Kit) -> Path:
    folder = kit.folder / "beir"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl.gz").write_bytes(gzip.compress(jsonl(CORPUS).encode()))
    (folder / "queries.jsonl").write_text(jsonl(QUERIES))
    (folder / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tp1\t1\n")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq2\tp2\t2\nq2\tp1\t0\n")
    return folder


def test_a_beir_folder(kit: Kit) -> None:
    take(kit, beir_folder(beir(kit)), "year:integer", "tag:keyword")
    made = kit.open()
    assert live_texts(made) == TEXTS
    assert made.read_passages(0, 3)["meta.year"].to_pylist() == [1999, None, 2001]
    assert made.read_passages(0, 3)["meta.tag"].to_pylist() == ["sea", None, None]
    assert made.queries("train", judged_only=False).qids == ["q1"]
    assert made.queries("test", judged_only=False).qids == ["q2"]
    assert made.qrels("test").of(1)[1].tolist() == [0, 2]


def test_a_beir_folder_without_its_parts_is_refused(kit: Kit) -> None:
    with pytest.raises(InputError, match=r"has no corpus\.jsonl"):
        beir_folder(kit.folder)
    folder = beir(kit)
    (folder / "queries.jsonl").unlink()
    with pytest.raises(InputError, match=r"has qrels but no queries\.jsonl"):
        beir_folder(folder)


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl"])
def test_a_beir_folder_with_a_file_packed_and_unpacked_is_ambiguous(kit: Kit, name: str) -> None:
    folder = beir(kit)
    (folder / name).write_text("{}\n")
    (folder / f"{name}.gz").write_bytes(gzip.compress(b"{}\n"))
    with pytest.raises(InputError, match=rf"has {name} and {name}\.gz"):
        beir_folder(folder)


def test_jsonl_with_fields_at_the_top_and_integer_ids(kit: Kit) -> None:
    rows = '{"id":7,"text":"seven","year":1999,"other":[1]}\n{"id":8,"text":"eight"}\n'
    kit.make(
        rows, {"test": "1\tq\n"}, {"test": "1 0 7 1\n"}, passages_name="p.ndjson", fields=("year:integer",)
    )
    made = kit.open()
    assert made.pids.to_pylist() == ["7", "8"]
    assert made.state.integer_ids is True
    assert made.read_passages(0, 2).column_names == ["ord", "pid", "title", "text", "meta.year"]


def test_parquet_passages_queries_and_qrels(kit: Kit) -> None:
    for name, table in {
        "passages": {"pid": [1, 2], "title": ["Tides", None], "text": ["The sea.", "The fog."],
                     "day": [dt.date(2024, 5, 1), None]},
        "queries": {"qid": ["q1"], "text": ["sea?"]},
        "qrels": {"query-id": ["q1"], "corpus-id": ["1"], "score": [1.0]},
    }.items():  # fmt: skip
        pq.write_table(pa.table(table), kit.folder / f"{name}.parquet")
    given = Given(
        passages=[files.passages(kit.folder / "passages.parquet")],
        queries=[("test", files.queries(kit.folder / "queries.parquet"))],
        qrels=[("test", files.qrels(kit.folder / "qrels.parquet"))],
    )
    take(kit, given, "day:date")
    made = kit.open()
    assert live_texts(made) == {"1": "Tides The sea.", "2": "The fog."}
    assert made.read_passages(0, 2)["meta.day"].to_pylist() == ["2024-05-01", None]
    assert made.qrels("test").positives(0).tolist() == [0]


def test_compressed_parquet(kit: Kit) -> None:
    pq.write_table(pa.table({"pid": ["1"], "text": ["one"]}), kit.folder / "p")
    kit.make(gzip.compress((kit.folder / "p").read_bytes()), passages_name="p.parquet.gz")
    assert live_texts(kit.open()) == {"1": "one"}


def test_parquet_of_broken_utf8_says_the_row(kit: Kit) -> None:
    text = pa.array([b"fine", b"\xff"]).cast(pa.string(), safe=False)
    pq.write_table(pa.table({"pid": ["1", "2"], "text": text}), kit.folder / "p")
    with pytest.raises(InputError, match=r"p\.parquet:2: broken UTF-8"):
        kit.make((kit.folder / "p").read_bytes(), passages_name="p.parquet")


def test_tsv_with_a_field(kit: Kit) -> None:
    rows = "p1\t1999\tTides\tThe sea.\np2\t\t\tThe fog.\n"
    kit.make(rows, columns="pid,year,title,text", fields=("year:integer",))
    assert kit.open().read_passages(0, 2)["meta.year"].to_pylist() == [1999, None]


def test_several_files_of_passages_are_one_collection(kit: Kit) -> None:
    given = Given(passages=[files.passages(kit.file("a.tsv", "p1\tone\n")),
                            files.passages(kit.file("b.tsv", "p2\ttwo\np1\tthree\n"))])  # fmt: skip
    with pytest.raises(InputError, match=r"b\.tsv:2: duplicate pid 'p1': first at .*a\.tsv:1"):
        take(kit, given)


@pytest.mark.parametrize(
    ("kind", "given", "kept"),
    [
        ("keyword", "a b", "a b"), ("integer", -5, -5), ("float", 1, 1.0), ("float", 1.5, 1.5),
        ("boolean", False, False), ("date", "2024", "2024"), ("date", "2024-05", "2024-05"),
        ("date", "2024-05-01", "2024-05-01"), ("date", "2024-05-01T10:00:00", "2024-05-01T10:00:00.000Z"),
        ("date", "2024-05-01 12:00:00.5+02:00", "2024-05-01T10:00:00.500Z"),
        ("date", dt.datetime(2024, 5, 1, 10), "2024-05-01T10:00:00.000Z"), ("keyword", None, None),
    ],
)  # fmt: skip
def test_a_field_keeps_a_value_of_its_type(kind: Any, given: Any, kept: Any) -> None:
    assert parse_value("f", kind, given, typed=True) == kept


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("keyword", 5), ("keyword", ["a"]), ("keyword", "x" * 32_767), ("integer", "5"), ("integer", 5.0),
        ("integer", True), ("integer", 2**63), ("float", float("nan")), ("float", "1.5"), ("boolean", 1),
        ("boolean", "true"), ("date", "yesterday"), ("date", "2024-13"), ("date", "2024-02-30"),
        ("date", 2024),
        ("date", "20240501"), ("date", "2024-05-01T25:00:00"),
    ],
)  # fmt: skip
def test_a_field_refuses_a_value_of_another_type(kind: Any, given: Any) -> None:
    with pytest.raises(BadRow, match=f"field 'f' is no {kind}"):
        parse_value("f", kind, given, typed=True)


@pytest.mark.parametrize(
    ("kind", "text", "kept"),
    [("integer", "5", 5), ("float", "1e3", 1000.0), ("boolean", "True", True), ("date", "2024", "2024"),
     ("integer", "", None)],
)  # fmt: skip
def test_a_field_of_a_text_file_is_parsed(kind: Any, text: str, kept: Any) -> None:
    assert parse_value("f", kind, text, typed=False) == kept


# -- catalogues: the real libraries on local data ----------------------------------------------------


def hub_folder(kit: Kit) -> Path:
    """A data set in BEIR's layout, as the hub keeps it."""
    folder = kit.folder / "dataset"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(
        jsonl([{**row, "metadata": row["metadata"] or None} for row in CORPUS])
    )
    (folder / "queries.jsonl").write_text(jsonl(QUERIES))
    (folder / "qrels" / "test.jsonl").write_text('{"query-id":"q2","corpus-id":"p2","score":2.0}\n')
    (folder / "README.md").write_text(
        "---\nconfigs:\n"
        "- config_name: corpus\n  data_files:\n  - split: corpus\n    path: corpus.jsonl\n"
        "- config_name: queries\n  data_files:\n  - split: queries\n    path: queries.jsonl\n"
        "- config_name: default\n  data_files:\n  - split: test\n    path: qrels/test.jsonl\n"
        "---\n"
    )
    return folder


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.mark.usefixtures("_offline")
def test_a_hugging_face_data_set(kit: Kit) -> None:
    take(kit, hf_dataset(str(hub_folder(kit))), "year:integer")
    made = kit.open()
    assert live_texts(made) == TEXTS
    assert made.read_passages(0, 3)["meta.year"].to_pylist() == [1999, None, 2001]
    assert made.queries("test").qids == ["q2"]
    assert made.qrels("test").of(1)[1].tolist() == [2]


@pytest.mark.usefixtures("_offline")
@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ({}, "there is no column 'labels'"),
        ({"labels": pa.array([None, [1]], pa.list_(pa.int64()))}, "column 'labels' is no list"),
        ({"labels": [["yes"], ["no"]]}, "a value in column 'labels' is no number: 'yes'"),
        ({"labels": [[1, 0], [1]]}, "1 doc_ids and 2 labels"),
    ],
    ids=["none", "null", "text", "too many"],
)
def test_wrong_labels_of_a_hugging_face_data_set_are_a_bad_row(
    kit: Kit, labels: dict[str, Any], says: str
) -> None:
    folder = kit.folder / "dataset"
    tables = {
        "corpus": {"passage_id": ["p1", "p2"], "passage": ["one", "two"]},
        "queries": {"query_id": ["q1", "q2"], "query": ["a", "b"]},
        "labeled-list": {"query_id": ["q1", "q2"], "doc_ids": [["p1"], ["p2"]], **labels},
    }
    configs = "---\nconfigs:\n"
    for name, columns in tables.items():
        (folder / name).mkdir(parents=True)
        pq.write_table(pa.table(columns), folder / name / "train.parquet")
        configs += f"- config_name: {name}\n  data_files:\n  - split: train\n    path: {name}/*.parquet\n"
    (folder / "README.md").write_text(configs + "---\n")
    with pytest.raises(InputError) as caught:
        take(kit, hf_dataset(str(folder)))
    assert caught.value.message.endswith(f"labeled-list/train:1: row 1 of labeled-list: {says}")


@pytest.mark.usefixtures("_offline")
def test_a_hugging_face_data_set_that_cannot_be_reached(kit: Kit) -> None:
    with pytest.raises(Unavailable, match="nobody/nothing") as caught:
        hf_dataset("nobody/nothing")
    assert "network" in str(caught.value.hint)


@pytest.fixture
def catalogue(kit: Kit, unique: str) -> str:
    """The id of a data set of local files in ir_datasets' own registry."""
    data = ir_datasets.create_dataset(
        docs_tsv=str(kit.file("docs.tsv", "p1\tThe sea.\np2\tThe fog.\n")),
        queries_tsv=str(kit.file("queries.tsv", "q1\tsea?\n")),
        qrels_trec=str(kit.file("qrels.txt", "q1 0 p1 2\n")),
    )
    ir_datasets.registry.register(unique, data)
    return unique


def test_an_ir_datasets_id(kit: Kit, catalogue: str) -> None:
    take(kit, ir_dataset([("test", catalogue)]))
    made = kit.open()
    assert live_texts(made) == {"p1": "The sea.", "p2": "The fog."}
    assert made.queries("test").texts == ["sea?"]
    assert made.qrels("test").of(0)[1].tolist() == [2]


def test_an_unknown_ir_datasets_id() -> None:
    with pytest.raises(InputError, match="has no data set 'no/such'"):
        ir_dataset([("test", "no/such")])


def test_a_missing_library_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    with pytest.raises(InputError, match="library ir_datasets is not installed") as caught:
        ir_dataset([("test", "x")])
    assert "msmctl[catalogues]" in str(caught.value.hint)
