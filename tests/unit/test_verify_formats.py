"""`verify` knows every format by its content, and finds in each what is wrong."""

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

from services.collections.collection import Collection
from services.errors import InputError
from services.exports.export import ExportRequest, plan, write
from services.exports.registry import FORMATS
from services.exports.repeats import SeenPairs
from services.exports.report import Report
from services.exports.verify import verify
from services.negatives.opening import Asked
from tests.unit.small_collection import make, update
from tests.unit.small_runs import save_run

TEXTS = {
    "1": "The moon pulls the water.",
    "4": "Rivers carry minerals.",
    "5": "Dew settles.",
    "6": "Thunder.",
}
QUERIES = {"10": "tides?", "11": "dew?"}


@pytest.fixture
def small(tmp_path: Path) -> Collection:
    return make(
        tmp_path,
        passages=TEXTS,
        queries={"train": QUERIES},
        qrels={"train": [("10", "1", 1), ("11", "5", 1)]},
    )


def found(report: Report) -> dict[str, int]:
    return {kind: n for kind, n in report.findings.items() if n}


def jsonl(row: dict[str, Any]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / "any.file"
        path.write_text(json.dumps(row) + "\n")
        return path

    return write


def text(content: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / "any.file"
        path.write_text(content)
        return path

    return write


def table(**columns: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / "any.file"
        pq.write_table(pa.table({name: [value] for name, value in columns.items()}), path)
        return path

    return write


def pickled(scores: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / "any.file"
        path.write_bytes(gzip.compress(pickle.dumps(scores)))
        return path

    return write


def passages(*pids: str) -> list[dict[str, str]]:
    return [{"docid": pid, "title": "", "text": "whatever"} for pid in pids]


def three(negative: str) -> dict[str, tuple[str, Callable[[Path], Path]]]:
    """Every format in which passage 1 stands as the positive and this one as a negative of query 10."""
    n, shown = int(negative), TEXTS.get(negative, "a text that nobody has")
    question, answer = QUERIES["10"], TEXTS["1"]
    return {
        "hard-negatives": ("hard-negatives", jsonl({"qid": 10, "pos": [1], "neg": {"bm25": [n]}})),
        "flagembedding": (
            "flagembedding",
            jsonl({"query": question, "pos": [answer], "neg": [shown], "pos_scores": [1], "neg_scores": [0]}),
        ),
        "tevatron": (
            "tevatron",
            jsonl({"query_id": "10", "query": question, "positive_passages": passages("1"),
                   "negative_passages": passages(negative)}),
        ),
        "triplet": ("triplet", table(query=question, positive=answer, negative=shown)),
        "triplet-ids": ("triplet", table(query=10, positive=1, negative=n)),
        "msmarco-triplets": ("triplet", table(query_id=10, positive_id=1, negative_id=n)),
        "msmarco-margins": ("triplet", table(query_id=10, positive_id=1, negative_id=n, score=2.5)),
        "n-tuple-scores": (
            "n-tuple",
            table(query=question, positive=answer, negative_1=TEXTS["4"], negative_2=shown,
                  scores=[1.0, 0, 0]),
        ),
        "labeled-list": ("labeled-list", table(query_id=10, doc_ids=[1, n], labels=[1, 0])),
        "labeled-list-texts": ("labeled-list", table(query=question, text=[answer, shown], labels=[1, 0])),
        "labeled-pair": ("labeled-list", table(query=question, document=shown, label=0)),
        "qidpidtriples": ("qidpidtriples", text(f"10\t1\t{negative}\n10\t1\t6\n")),
        "kd": ("kd", text(f"8.5\t-1.0\t10\t1\t{negative}\n")),
    }  # fmt: skip


def neither(pid: str) -> dict[str, tuple[str, Callable[[Path], Path]]]:
    """Every format in which this passage stands with query 10, and nothing is said of it."""
    return {
        "scores-pickle": ("scores-pickle", pickled({10: {int(pid): 0.5}})),
        "scores-pickle-numpy": ("scores-pickle", pickled({"10": {pid: np.float32(0.5)}})),
        "scores-list": ("scores-parquet", table(query_id=10, corpus_id=[int(pid)], score=[0.5])),
        "scores-long": ("scores-parquet", table(query_id=10, passage_id=int(pid), score=0.5)),
        "pylate-kd": ("pylate-kd", jsonl({"query_id": "10", "document_ids": [pid], "scores": [0.5]})),
        "pylate-table": ("scores-parquet", table(query_id=10, document_ids=[int(pid)], scores=[0.5])),
        "trec-run": ("trec-run", text(f"10 Q0 {pid} 1 2.5 x\n")),
        "msmarco-runs": ("msmarco-run", text(f"10\t{pid}\t1\n10\t4\t2\n11\t4\t1\n11\t5\t2\n")),
        "beir-qrels-bare": ("beir-qrels", text(f"10\t{pid}\t1\n11\t4\t1\n")),
        "msmarco-run": ("msmarco-run", text(f"10\t{pid}\t1\n10\t4\t2\n")),
        "top1000": ("top1000", text(f"10\t{pid}\ttides?\tsome text of it\n")),
        "qrels": ("qrels", text(f"10 0 {pid} 1\n")),
        "beir-qrels": ("beir-qrels", text(f"query-id\tcorpus-id\tscore\n10\t{pid}\t1\n")),
        "beir-corpus": ("beir", jsonl({"_id": pid, "title": "", "text": "x"})),
        "msmarco-corpus": ("texts", table(passage_id=int(pid), passage="x")),
    }


@pytest.mark.parametrize("kind", [*three("6"), *neither("6")])
def test_each_format_is_known_by_its_content(small: Collection, tmp_path: Path, kind: str) -> None:
    format_name, write = (three("6") | neither("6"))[kind]
    report = verify(write(tmp_path), small)
    assert report.formats == [format_name]
    assert found(report) == {}
    assert report.ok
    assert report.lines >= 1


@pytest.mark.parametrize("kind", three("1"))
def test_a_positive_among_the_negatives_is_found_in_each(
    small: Collection, tmp_path: Path, kind: str
) -> None:
    report = verify(three("1")[kind][1](tmp_path), small)
    assert set(found(report)) == {"positives"}


@pytest.mark.parametrize("kind", three("99"))
def test_an_unknown_negative_is_found_in_each(small: Collection, tmp_path: Path, kind: str) -> None:
    report = verify(three("99")[kind][1](tmp_path), small)
    assert set(found(report)) == {"unknown_pids"}


@pytest.mark.parametrize("kind", neither("99"))
def test_an_unknown_passage_is_found_in_each(small: Collection, tmp_path: Path, kind: str) -> None:
    report = verify(neither("99")[kind][1](tmp_path), small)
    assert set(found(report)) == {"unknown_pids"}


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (pickled({10: {1: float("nan")}}), "no finite number"),
        (pickled({10: {1: Path("x")}}), "nothing was run"),
        (table(query_id=10, positive_id=1, negative_id=None), "null"),
        (table(query_id=10, corpus_id=[1, 4], score=[1.0]), "2 passages and 1 values"),
        (table(query_id=10, corpus_id=1, score=float("nan")), "no finite number"),
        (table(query_id=10, doc_ids=[1, 4], labels=[1]), "2 passages and 1 values"),
        (jsonl({"query_id": "10", "document_ids": ["1"], "scores": []}), "not as long"),
        (text("10 Q0 1 1 2.5 x\n10 Q0 4 2 x\n"), "5 columns, not 6"),
        (text("10 Q0 1 1 high x\n"), "column 5 'high' is no finite number"),
        (text("10 Q0 1 1 nan x\n"), "'nan' is no finite number"),
        (text("10 Q0 1 1 1e39 x\n"), "'1e39' is no finite number of float32"),
        (text("8.5\tinf\t10\t1\t4\n"), "column 2 'inf' is no finite number"),
        (jsonl({"query_id": "10", "document_ids": ["1"], "scores": [None]}), "'scores' has None"),
        (jsonl({"query_id": "10", "document_ids": ["1"], "scores": ["high"]}), "'scores' has 'high'"),
        (jsonl({"query_id": "10", "document_ids": ["1"], "scores": 1.5}), "instead of a list"),
        (
            jsonl({"query": QUERIES["10"], "pos": [TEXTS["1"]], "neg": [], "pos_scores": [1e39]}),
            "'pos_scores' has 1e+39",
        ),
        (table(query_id=10, positive_id=1, negative_id=4, score=float("nan")), "'score' has nan"),
        (table(query_id=10, positive_id=1, negative_1=4, label=[float("inf"), 1.0]), "'label' has inf"),
        (table(query_id=10, positive_id=1, negative_1=4, scores=[1.0, None]), "'scores' has None"),
        (table(query_id=10, positive_id=1, negative_1=4, label="high"), "'label' has 'high'"),
        (table(query_id=10, doc_ids=[1, 4], labels=[1.0, float("nan")]), "'labels' has nan"),
    ],
)
def test_what_cannot_be_read_is_malformed(
    small: Collection, tmp_path: Path, write: Callable[[Path], Path], says: str
) -> None:
    report = verify(write(tmp_path), small)
    assert set(found(report)) == {"malformed"}
    assert says in report.examples[0]["what"]


def test_columns_that_are_no_format_are_an_error(small: Collection, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="its columns are a, b, which is no format that is known"):
        verify(table(a=1, b=2)(tmp_path), small)


def test_what_its_name_promises_and_its_bytes_are_not_is_said(small: Collection, tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"no parquet at all\n")
    with pytest.raises(InputError, match=r"bad\.parquet: ends in \.parquet, but is no parquet file"):
        verify(tmp_path / "bad.parquet", small)


def test_all_files_of_a_folder_are_checked_but_those_of_an_export_under_way(
    small: Collection, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    for subset, negative in (("triplet", "6"), ("triplet-all", "1")):
        (folder / subset).mkdir(parents=True)
        three(negative)["triplet"][1](folder / subset).rename(
            folder / subset / "train-00000-of-00001.parquet"
        )
    (folder / "README.md").write_text("# card")
    (folder / "train.manifest.json").write_text("{}")
    unfinished = folder / ".n-tuple.train.partial" / "n-tuple~train"
    unfinished.mkdir(parents=True)
    (unfinished / "0.parquet").write_bytes(b"PAR1")
    (unfinished / "progress").write_text("{}")
    (unfinished / "lock").touch()
    report = verify(folder, small)
    assert found(report) == {"positives": 1}
    assert report.examples[0]["file"] == "triplet-all/train-00000-of-00001.parquet"
    assert report.lines == 2


def test_ids_that_are_positions_are_read_through_the_table_beside_them(tmp_path: Path) -> None:
    named = make(
        tmp_path,
        passages={f"p{pid}": text for pid, text in TEXTS.items()},
        queries={"train": {"q": "tides?"}},
        qrels={"train": [("q", "p1", 1)]},
    )
    folder = tmp_path / "triplet-ids"
    folder.mkdir()
    pq.write_table(pa.table({"query": [0], "positive": [0], "negative": [2]}), folder / "train.parquet")
    pq.write_table(
        pa.table({"kind": ["passage", "query"], "ord": [0, 0], "id": ["p1", "q"]}), folder / "ids.parquet"
    )
    assert found(verify(folder, named)) == {}
    pq.write_table(pa.table({"query": [0], "positive": [0], "negative": [0]}), folder / "train.parquet")
    assert found(verify(folder, named)) == {"positives": 1}
    pq.write_table(pa.table({"query": [0], "positive": [0], "negative": [9]}), folder / "train.parquet")
    assert found(verify(folder, named)) == {"unknown_pids": 1}


@pytest.mark.parametrize("beside", [True, False], ids=["beside its table", "alone"])
def test_numbers_that_are_no_integers_are_no_ids(small: Collection, tmp_path: Path, beside: bool) -> None:
    folder = tmp_path / "triplet-ids"
    folder.mkdir()
    pq.write_table(pa.table({"query": [0.0], "positive": [0.0], "negative": [2.0]}), folder / "train.parquet")
    if beside:
        pq.write_table(pa.table({"kind": ["passage"], "ord": [0], "id": ["1"]}), folder / "ids.parquet")
    report = verify(folder, small)
    assert found(report) == {"malformed": 1}
    assert report.examples[0]["what"] == "'query' is a column of double, which is no type of ids"


def test_ids_that_are_strings_are_no_positions(small: Collection, tmp_path: Path) -> None:
    folder = tmp_path / "triplet-ids"
    folder.mkdir()
    rows = pa.table({"query_id": ["10"], "positive_id": ["1"], "negative_id": ["5"]})
    pq.write_table(rows, folder / "train.parquet")
    pq.write_table(pa.table({"kind": ["passage"], "ord": [0], "id": ["1"]}), folder / "ids.parquet")
    assert found(verify(folder, small)) == {}


def test_a_list_named_like_ours_hides_nothing(small: Collection, tmp_path: Path) -> None:
    report = verify(jsonl({"qid": 10, "pos": [1], "neg": {"pos": [99], "passages": [98]}})(tmp_path), small)
    assert found(report) == {"unknown_pids": 2}


TWICE = {
    "trec-run": "10 Q0 {} 1 9.5 x\n",
    "msmarco-run": "10\t{}\t1\n",
    "qrels": "10 0 {} 1\n",
    "beir-qrels": "10\t{}\t2\n",
}


@pytest.mark.parametrize("kind", TWICE)
def test_a_passage_twice_for_a_query_is_found_wherever_the_lines_stand(
    small: Collection, tmp_path: Path, kind: str
) -> None:
    pids = ["4", "5", "6", "4"]
    file = tmp_path / "file.txt"
    header = "query-id\tcorpus-id\tscore\n" if kind == "beir-qrels" else ""
    lines = [TWICE[kind].format(pid) for pid in pids]
    if kind == "msmarco-run":
        lines = [f"10\t{pid}\t{n + 1}\n" for n, pid in enumerate(pids)]
    file.write_text(header + "".join(lines))
    report = verify(file, small)
    assert (report.formats, found(report)) == ([kind], {"repeats": 1})
    assert report.examples == [{"finding": "repeats", "line": 4 + bool(header), "qid": "10", "pid": "4"}]


def test_a_score_twice_is_found_in_long_form(small: Collection, tmp_path: Path) -> None:
    file = tmp_path / "scores.parquet"
    pq.write_table(
        pa.table({"query_id": [10, 10, 10], "passage_id": [4, 5, 4], "score": [1.0, 2.0, 3.0]}), file
    )
    assert found(verify(file, small)) == {"repeats": 1}


def test_a_score_twice_is_found_across_shards(small: Collection, tmp_path: Path) -> None:
    folder = tmp_path / "scores"
    folder.mkdir()
    for n, pids in enumerate(([4, 5], [6, 4])):
        table = pa.table({"query_id": [10, 10], "passage_id": pids, "score": [1.0, 2.0]})
        pq.write_table(table, folder / f"train-{n:05d}-of-00002.parquet")
    report = verify(folder, small)
    assert found(report) == {"repeats": 1}
    [example] = report.examples
    assert (example["file"], example["pid"]) == ("train-00001-of-00002.parquet", "4")


def test_millions_of_pairs_are_told_apart_by_query(tmp_path: Path) -> None:
    with SeenPairs(1000) as pairs:
        pairs.add((n % 1000, n // 1000, n + 1) for n in range(100_000))
        pairs.add([(999, 5, 200_000), (-1, 5, 200_001), (-1, 5, 200_002), (3, -1, 200_003), (0, 0, 200_004)])
        assert list(pairs.repeats()) == [(0, 0, 200_004), (999, 5, 200_000)]


def test_grades_may_have_any_number_of_digits(tmp_path: Path) -> None:
    grades = make(
        tmp_path,
        passages=TEXTS,
        queries={"train": QUERIES},
        qrels={"train": [("10", "1", 100), ("11", "5", -100)]},
    )
    report = verify(text("10 0 1 100\n11 0 5 -100\n")(tmp_path), grades)
    assert (report.formats, found(report)) == (["qrels"], {})


def test_triples_of_small_ids_are_none_of_judgements(small: Collection, tmp_path: Path) -> None:
    report = verify(text("10\t1\t4\n10\t1\t1\n")(tmp_path), small)
    assert (report.formats, found(report)) == (["qidpidtriples"], {"positives": 1})


def test_of_an_export_the_manifest_says_which_of_two_formats_it_is(tmp_path: Path) -> None:
    collection = make(tmp_path, passages=TEXTS, queries={"train": QUERIES}, qrels={"train": [("10", "1", 1)]})
    save_run(collection, "bm25", {"10": ["4"]})
    file = tmp_path / "t.tsv"
    write(plan(collection, ExportRequest(FORMATS["qidpidtriples"], Asked("train"), file)))
    assert file.read_text() == "10\t1\t4\n"
    report = verify(file, collection)
    assert (report.formats, found(report)) == (["qidpidtriples"], {})


@pytest.mark.parametrize(
    "write",
    [
        jsonl({"query": QUERIES["10"], "pos": [TEXTS["1"]], "neg": ["4"]}),
        table(query="10", positive="1", negative="4"),
    ],
    ids=["flagembedding", "triplet"],
)
def test_a_text_that_is_spelt_like_an_id_is_none(
    small: Collection, tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    report = verify(write(tmp_path), small)
    assert report.findings["unknown_pids"] >= 1
    assert 'the text "4"' in {example.get("pid") for example in report.examples}


def test_the_numbers_of_ids_parquet_are_compared(tmp_path: Path) -> None:
    collection = make(
        tmp_path,
        passages={"a": "one", "b": "two"},
        queries={"train": {"q": "x"}},
        qrels={"train": [("q", "a", 1)]},
    )
    kinds, ids = ["passage", "passage", "query"], ["a", "b", "q"]
    for ords, findings in (([0, 1, 0], {}), ([1, 0, 0], {"malformed": 2}), ([0, 1, 5], {"malformed": 1})):
        pq.write_table(pa.table({"kind": kinds, "ord": ords, "id": ids}), tmp_path / "ids.parquet")
        assert found(verify(tmp_path / "ids.parquet", collection)) == findings


def test_the_ids_parquet_of_an_updated_collection_names_what_is_live(tmp_path: Path) -> None:
    words = {"a": "one", "b": "two", "c": "three"}
    make(tmp_path, passages=words, queries={"train": {"q": "x"}}, qrels={"train": [("q", "a", 1)]})
    collection = update(tmp_path, passages={"a": "one more"}, queries={"train": {"q": "why x"}}, delete=["c"])
    save_run(collection, "bm25", {"q": ["b"]})
    write(plan(collection, ExportRequest(FORMATS["triplet-ids"], Asked("train"), tmp_path / "out")))
    rows = pq.read_table(tmp_path / "out" / "triplet-ids" / "ids.parquet").to_pylist()
    assert [(row["kind"], row["ord"], row["id"]) for row in rows] == [
        ("passage", 1, "b"), ("passage", 3, "a"), ("query", 1, "q"),
    ]  # fmt: skip
    assert found(verify(tmp_path / "out", collection)) == {}


def test_unknown_texts_that_begin_alike_are_none_of_each_other(small: Collection, tmp_path: Path) -> None:
    neg = [f"{'The same title ' * 9} and part {n}" for n in range(2)]
    report = verify(jsonl({"query": QUERIES["10"], "pos": [TEXTS["1"]], "neg": neg})(tmp_path), small)
    assert found(report) == {"unknown_pids": 2}


@pytest.mark.parametrize("line", ["qid Q0 1 1 2.0 x", "qid 0 1 1", "pos_score 0 1 1"])
def test_a_query_that_is_called_like_a_column_is_no_header(
    small: Collection, tmp_path: Path, line: str
) -> None:
    rest = line.replace("qid", "10").replace("pos_score", "10").replace(" 1 ", " 4 ", 1)
    assert found(verify(text(f"{line}\n{rest}\n")(tmp_path), small)) == {"unknown_qids": 1}


def test_a_line_of_many_long_texts_is_read(small: Collection, tmp_path: Path) -> None:
    neg = ["x" * (1 << 20)] * 9
    report = verify(jsonl({"query": QUERIES["10"], "pos": [TEXTS["1"]], "neg": neg})(tmp_path), small)
    assert report.formats == ["flagembedding"]
    assert found(report) == {"unknown_pids": 9, "repeats": 8}
