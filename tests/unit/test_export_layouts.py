"""The layouts of other people's training code and tools, row by row."""

from __future__ import annotations

import gzip
import json

import pytest
from collection_kit import live_texts
from export_kit import BM25, QUERIES, SCORES, TAS_B, TEXTS, export, files, loaded, numbered, request, small
from small_collection import make, update
from small_runs import save_run
from small_scores import save_scores

from services.collections.change import How
from services.collections.collection import Collection
from services.collections.fields import parse_declarations
from services.collections.importer import ImportRequest, import_collection
from services.collections.sources.beir import beir_folder
from services.collections.sources.huggingface import hf_dataset
from services.errors import CheckFailed, NotFound, UsageError
from services.evaluation.trec_run import read_run
from services.exports.export import plan, survey, write
from services.exports.registry import FORMATS
from services.store import Store

MERGED = {"q1": ["p5", "p3", "p4"], "q2": ["p4", "p5"]}
POSITIVES = {"q1": ["p1", "p6"], "q2": ["p3"]}


def texts(*pids):
    return [TEXTS[pid] for pid in pids]


def lines(file):
    return [json.loads(line) for line in file.read_text().split("\n")[:-1]]


def imported(folder, given, *fields) -> Collection:
    store = Store(str(folder / "other-store"))
    import_collection(
        store, ImportRequest("other", given, parse_declarations(list(fields))), How(folder / "l")
    )
    return Collection.open(store, "other")


# -- sentence-transformers -----------------------------------------------------------------------------


def test_a_query_without_negatives_has_no_labels(tmp_path):
    collection, rank = small(tmp_path), ["rank-range=1:1"]
    manifest = export(collection, "labeled-pair", tmp_path / "out", systems=["bm25"], filters=rank)
    assert {row["query"] for row in loaded(tmp_path / "out", "labeled-pair")} == {"why salt"}
    assert (manifest.queries, manifest.left_out) == (1, 1)


def test_labeled_pair_has_a_row_per_passage(tmp_path):
    manifest = export(small(tmp_path), "labeled-pair", tmp_path / "out")
    expected = [
        {"query": QUERIES[qid], "passage": TEXTS[pid], "label": label}
        for qid in ("q1", "q2")
        for label, pids in ((1, POSITIVES[qid]), (0, MERGED[qid]))
        for pid in pids
    ]
    assert loaded(tmp_path / "out", "labeled-pair") == expected
    assert (manifest.rows, manifest.negatives) == (8, 5)


def test_n_tuple_has_the_first_n_negatives_and_leaves_out_queries_with_fewer(tmp_path):
    manifest = export(small(tmp_path), "n-tuple", tmp_path / "out", options={"num-negatives": 3})
    first, second, third = texts("p5", "p3", "p4")
    assert loaded(tmp_path / "out", "n-tuple") == [
        {"query": "why tides", "positive": TEXTS["p1"],
         "negative_1": first, "negative_2": second, "negative_3": third}
    ]  # fmt: skip
    assert (manifest.rows, manifest.left_out) == (1, 1)


def row(qid, pid, negatives, label):
    """Columns in the order that losses go by."""
    texts = {f"negative_{n}": TEXTS[one] for n, one in enumerate(negatives, 1)}
    return {"query": QUERIES[qid], "positive": TEXTS[pid]} | texts | label


@pytest.mark.parametrize(("name", "n", "expected"), [
    ("n-tuple-scores", 2, [{"scores": [5.0, -6.0, -2.0]}, {"scores": [4.0, 3.0, -1.25]}]),
    ("kldiv", 2, [{"label": [5.0, -6.0, -2.0]}, {"label": [4.0, 3.0, -1.25]}]),
    ("margin-mse", 2, [{"label": [11.0, 7.0]}, {"label": [1.0, 5.25]}]),
    ("margin-mse", 1, [{"label": 11.0}, {"label": 1.0}]),
])  # fmt: skip
def test_labels_are_the_cross_encoders_scores_or_their_margins(tmp_path, name, n, expected):
    export(small(tmp_path), name, tmp_path / "out", options={"num-negatives": n})
    rows = loaded(tmp_path / "out", name)
    assert rows == [
        row("q1", "p1", ["p5", "p3"][:n], expected[0]),
        row("q2", "p3", ["p4", "p5"][:n], expected[1]),
    ]
    assert list(rows[0]) == ["query", "positive", *(f"negative_{k}" for k in range(1, n + 1)), *expected[0]]


def test_what_has_no_score_does_not_count_where_scores_are_written(tmp_path):
    collection = small(tmp_path, scored=False)
    save_scores(collection, {pair: score for pair, score in SCORES.items() if pair not in
                             {("q1", "p1"), ("q1", "p5"), ("q2", "p3")}})  # fmt: skip
    manifest = export(collection, "margin-mse", tmp_path / "out")
    assert loaded(tmp_path / "out", "margin-mse") == [row("q1", "p6", ["p3"], {"label": 4.0})]
    assert manifest.left_out == 1
    with pytest.raises(NotFound, match="no scores"):
        plan(small(tmp_path / "b", scored=False), request("kldiv", tmp_path / "more"))


@pytest.mark.parametrize(
    ("name", "subset", "column", "kept"),
    [
        ("margin-mse", "margin-mse", "negative_1", {"p3", "p4"}),
        ("msmarco", "bert-ensemble-margin-mse", "negative_id", {"p3", "p4"}),
        ("msmarco", "triplets", "negative_id", {"p5", "p4"}),
    ],
)
def test_what_has_no_score_is_left_out_before_negatives_are_counted(tmp_path, name, subset, column, kept):
    collection = small(tmp_path, scored=False)
    save_scores(collection, {pair: score for pair, score in SCORES.items() if pair != ("q1", "p5")})
    planned = plan(collection, request(name, tmp_path / "out", num=1))
    write(planned)
    pids = {text: pid for pid, text in TEXTS.items()} | {pid: pid for pid in TEXTS}
    assert {pids[row[column]] for row in loaded(tmp_path / "out", subset)} == kept
    removed = {step["by"]: step["systems"] for step in survey(planned).as_dict()["removed"]}
    assert removed.get("no score") == ({"bm25": 0, TAS_B: 1} if name == "margin-mse" else None)


# -- other trainers ------------------------------------------------------------------------------------


def test_flagembedding(tmp_path):
    export(small(tmp_path), "flagembedding", tmp_path / "t.jsonl")
    assert lines(tmp_path / "t.jsonl") == [
        {"query": "why tides", "pos": texts("p1", "p6"), "neg": texts("p5", "p3", "p4"),
         "pos_scores": [5.0, 2.0], "neg_scores": [-6.0, -2.0, 0.5]},
        {"query": "why salt", "pos": texts("p3"), "neg": texts("p4", "p5"),
         "pos_scores": [4.0], "neg_scores": [3.0, -1.25]},
    ]  # fmt: skip


def test_flagembedding_without_scores_has_none(tmp_path):
    export(small(tmp_path, scored=False), "flagembedding", tmp_path / "t.jsonl", num=1)
    assert lines(tmp_path / "t.jsonl")[0] == {
        "query": "why tides", "pos": texts("p1", "p6"), "neg": texts("p5"),
    }  # fmt: skip


def test_tevatron(tmp_path):
    manifest = export(small(tmp_path), "tevatron", tmp_path / "t.jsonl", filters=["rank-range=1:1"])
    assert lines(tmp_path / "t.jsonl") == [
        {
            "query_id": qid,
            "query": QUERIES[qid],
            "positive_passages": [{"docid": pid, "title": "", "text": TEXTS[pid]} for pid in POSITIVES[qid]],
            "negative_passages": [{"docid": negative, "title": "", "text": TEXTS[negative]}],
        }
        for qid, negative in (("q1", "p5"), ("q2", "p4"))
    ]
    assert (manifest.rows, manifest.queries, manifest.negatives) == (2, 2, 2)


def test_pylate_kd_has_the_three_subsets_of_its_recipe(tmp_path):
    export(small(tmp_path, integers=True), "pylate-kd", tmp_path / "out")
    assert loaded(tmp_path / "out", "train") == [
        {"query_id": 1, "document_ids": [101, 106, 105, 103, 104], "scores": [5.0, 2.0, -6.0, -2.0, 0.5]},
        {"query_id": 2, "document_ids": [103, 104, 105], "scores": [4.0, 3.0, -1.25]},
    ]
    assert loaded(tmp_path / "out", "queries")[0] == {"query_id": 1, "text": "why tides"}
    assert loaded(tmp_path / "out", "documents")[4] == {"document_id": 105, "text": TEXTS["p5"]}


def test_pylate_s_collator_can_make_a_tensor_of_lists_of_one_length(tmp_path):
    manifest = export(small(tmp_path, integers=True), "pylate-kd", tmp_path / "out", options={"n-ways": 4})
    rows = loaded(tmp_path / "out", "train")
    assert rows == [{"query_id": 1, "document_ids": [101, 105, 103, 104], "scores": [5.0, -6.0, -2.0, 0.5]}]
    assert (manifest.rows, manifest.negatives, manifest.left_out) == (1, 3, 1)


def test_qidpidtriples(tmp_path):
    export(small(tmp_path), "qidpidtriples", tmp_path / "t.tsv.gz", filters=["ce-margin=3"])
    assert gzip.decompress((tmp_path / "t.tsv.gz").read_bytes()).decode() == (
        "q1\tp1\tp5\nq1\tp1\tp3\nq1\tp6\tp5\nq1\tp6\tp3\nq2\tp3\tp5\n"
    )


# -- sentence-transformers/msmarco ---------------------------------------------------------------------


def test_msmarco_has_the_published_subsets_with_string_ids(tmp_path):
    export(small(tmp_path, integers=True), "msmarco", tmp_path / "out")
    out = tmp_path / "out"
    assert loaded(out, "corpus")[1] == {"passage_id": "102", "passage": TEXTS["p2"]}
    assert loaded(out, "queries")[2] == {"query_id": "3", "query": "why dew"}
    assert loaded(out, "triplets")[3] == {"query_id": "1", "positive_id": "106", "negative_id": "105"}
    assert len(loaded(out, "triplets")) == 8
    assert loaded(out, "labeled-list") == [
        {"query_id": "1", "doc_ids": ["101", "106", "105", "103", "104"], "labels": [1, 1, 0, 0, 0]},
        {"query_id": "2", "doc_ids": ["103", "104", "105"], "labels": [1, 0, 0]},
    ]
    scores = {(row["query_id"], row["passage_id"]): row["score"] for row in loaded(out, "bert-ensemble-mse")}
    assert scores == {
        (numbered(qid), numbered(pid)): score for (qid, pid), score in SCORES.items() if qid != "q3"
    }
    assert loaded(out, "bert-ensemble-margin-mse")[3] == {
        "query_id": "1", "positive_id": "106", "negative_id": "105", "score": 8.0,
    }  # fmt: skip


def test_msmarco_without_scores_has_no_subsets_of_scores(tmp_path):
    export(small(tmp_path, scored=False), "msmarco", tmp_path / "out")
    subsets = {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()}
    assert subsets == {"corpus", "queries", "triplets", "labeled-list"}


def test_our_importer_reads_the_msmarco_layout(tmp_path, monkeypatch):
    collection = small(tmp_path)
    export(collection, "msmarco", tmp_path / "out")
    again = imported(tmp_path, hf_dataset(str(tmp_path / "out")))
    assert live_texts(again) == TEXTS
    assert again.queries("train").qids == ["q1", "q2"]
    assert again.pids_of(again.qrels("train").positives(0)) == ["p1", "p6"]


# -- the field's plain formats -------------------------------------------------------------------------


def test_a_trec_run_is_whole_unless_a_depth_is_asked_for(tmp_path):
    """Depth counts negatives: behind as many, and the positives among them, others follow in the run."""
    collection = small(tmp_path)
    export(collection, "trec-run", tmp_path / "r.trec", systems=["bm25"])
    written = [line.split()[2] for line in (tmp_path / "r.trec").read_text().splitlines()]
    assert written == [pid for qid in ("q1", "q2", "q3") for pid in BM25[qid]]


def test_a_trec_run_is_what_one_system_returned(tmp_path):
    collection = small(tmp_path)
    export(collection, "trec-run", tmp_path / "r.trec", systems=[TAS_B], depth=3)
    assert (tmp_path / "r.trec").read_text() == (
        f"q1 Q0 p5 1 9 {TAS_B}\nq1 Q0 p1 2 6.3333335 {TAS_B}\nq1 Q0 p4 3 3.6666667 {TAS_B}\n"
        f"q2 Q0 p3 1 9 {TAS_B}\n"
    )
    run = read_run(tmp_path / "r.trec", collection)
    assert [collection.pids_of(one.ords) for one in run.rankings] == [["p5", "p1", "p4"], ["p3"]]
    with pytest.raises(UsageError, match="a run is of one system"):
        plan(collection, request("trec-run", tmp_path / "more"))


def test_qrels_are_those_of_a_split(tmp_path):
    collection = small(tmp_path)
    export(collection, "qrels", tmp_path / "q.txt")
    assert (tmp_path / "q.txt").read_text() == "q1 0 p1 1\nq1 0 p6 1\nq2 0 p3 1\n"
    export(update(tmp_path, delete=["p6"]), "qrels", tmp_path / "fewer.txt")
    assert (tmp_path / "fewer.txt").read_text() == "q1 0 p1 1\nq2 0 p3 1\n"
    unjudged = make(tmp_path / "b", passages={"p": "x"}, queries={"train": {"q": "y"}})
    with pytest.raises(CheckFailed, match="no judgements"):
        plan(unjudged, request("qrels", tmp_path / "none.txt"))


def test_pooled_judgements_on_other_passages_stay_in_qrels(tmp_path):
    collection = make(
        tmp_path, passages={"p1": "x"}, queries={"test": {"q": "y"}}, min_rel=2,
        qrels={"test": [("q", "p1", 3), ("q", "elsewhere", 1)]},
    )  # fmt: skip
    export(collection, "qrels", tmp_path / "q.txt", split="test")
    assert (tmp_path / "q.txt").read_text() == "q 0 p1 3\nq 0 elsewhere 1\n"


def test_a_beir_folder_comes_back_as_the_same_collection(tmp_path):
    rows = [
        {"_id": "p1", "title": "Tides", "text": "The sea.", "metadata": {"year": 1999}},
        {"_id": "p2", "title": "", "text": "Fog \u2028 and \"quotes\"", "metadata": {}},
    ]  # fmt: skip
    (tmp_path / "given" / "qrels").mkdir(parents=True)
    (tmp_path / "given" / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "given" / "queries.jsonl").write_text('{"_id": "q1", "text": "sea?"}\n')
    (tmp_path / "given" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tp1\t2\n")
    first = imported(tmp_path, beir_folder(tmp_path / "given"), "year:integer")
    export(first, "beir", tmp_path / "out")
    assert set(files(tmp_path / "out")) == {
        "beir.manifest.json", "corpus.jsonl", "queries.jsonl", "qrels/test.tsv",
    }  # fmt: skip
    assert lines(tmp_path / "out" / "corpus.jsonl") == rows
    again = imported(tmp_path / "again", beir_folder(tmp_path / "out"), "year:integer")
    assert again.state.fingerprint == first.state.fingerprint


def test_the_same_bytes_twice(tmp_path):
    collection = small(tmp_path)
    for name, declared in FORMATS.items():
        if name.startswith("triplet-50"):
            continue
        asked = {"systems": ["bm25"]} if name == "trec-run" else {}
        options = {"num-negatives": 2} if declared.defaults.get("num-negatives") else {}
        places = [tmp_path / f"{time}-{name}" / "out" for time in ("one", "two")]
        for place in places:
            place.parent.mkdir()
            export(collection, name, place, options=options, **asked)
        assert files(places[0].parent) == files(places[1].parent), name


def test_a_run_that_is_there_for_one_system_needs_no_name(tmp_path):
    collection = make(tmp_path, passages={"p1": "x"}, queries={"train": {"q": "y"}})
    save_run(collection, "bm25", {"q": ["p1"]})
    export(collection, "trec-run", tmp_path / "r.trec.gz")
    assert gzip.decompress((tmp_path / "r.trec.gz").read_bytes()).decode() == "q Q0 p1 1 9 bm25\n"
