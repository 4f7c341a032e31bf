"""People's marks in a real Elasticsearch: history, compare-and-set, rights, and what exports make of them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from elasticsearch import AuthorizationException
from small_collection import make
from small_runs import save_run

from services.collections.collection import Collection
from services.elastic.client import connect
from services.errors import NotFound, Unavailable, UsageError
from services.negatives.marks_store import MarksStore, load_marks, parse_verdict
from services.negatives.verdicts import Verdict
from services.settings import Settings
from tests.conftest import Stack
from tests.integration.conftest import Shell

PASSAGES = {"p1": "moon and tide", "p2": "salt", "p3": "dew", "p4": "frost"}


@pytest.fixture
def collection(tmp_path: Path, unique: str) -> Collection:
    collection = make(tmp_path, name=unique, passages=PASSAGES, queries={"train": {"q1": "why", "q2": "how"}},
                      qrels={"train": [("q1", "p1", 1)]})  # fmt: skip
    save_run(collection, "bm25", {"q1": ["p1", "p2", "p3", "p4"]})
    return collection


@pytest.fixture
def marks(stack: Stack) -> MarksStore:
    return MarksStore(connect(stack.settings), stack.settings)


def test_a_mark_is_read_at_once_with_who_said_it_and_when(
    stack: Stack, marks: MarksStore, collection: Collection
) -> None:
    said = marks.mark(collection, "q1", "p2", Verdict.KEEP, "another sea")
    assert (said["verdict"], said["reason"]) == ("keep", "another sea")
    assert said["by"]
    assert said["@timestamp"].endswith("+00:00")
    loaded = load_marks(stack.settings, collection)
    assert len(loaded) == 1
    assert loaded.reason(0, 1) == "another sea"
    assert loaded.fingerprint is not None


def test_marking_again_replaces_the_verdict_and_keeps_the_history(
    stack: Stack, marks: MarksStore, collection: Collection
) -> None:
    marks.mark(collection, "q1", "p2", Verdict.KEEP, "first")
    marks.mark(collection, "q1", "p2", Verdict.POSITIVE, "second")
    marks.unmark(collection, "q1", "p2", "third")
    assert list(marks.all(collection.name)) == []
    assert len(load_marks(stack.settings, collection)) == 0
    (document,) = marks.all(collection.name, history=True)
    assert [(one["verdict"], one["reason"]) for one in document["history"]] == [
        ("keep", "first"), ("positive", "second"), (None, "third")]  # fmt: skip


def test_two_who_mark_at_once_are_both_in_the_history(marks: MarksStore, collection: Collection) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: marks.mark(collection, "q1", "p3", Verdict.KEEP, f"said by {n}"), range(6)))
    (document,) = marks.all(collection.name)
    assert {one["reason"] for one in document["history"]} == {f"said by {n}" for n in range(6)}
    assert document["reason"] == document["history"][-1]["reason"]


def test_more_marks_than_a_page_are_all_read(
    stack: Stack, marks: MarksStore, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.negatives.marks_store._PAGE", 2)
    for qid in ("q1", "q2"):
        for pid in PASSAGES:
            marks.mark(collection, qid, pid, Verdict.EXCLUDED, "off topic")
    assert [(one["qid"], one["pid"]) for one in marks.all(collection.name)] == [
        (qid, pid) for qid in ("q1", "q2") for pid in PASSAGES]  # fmt: skip
    assert len(load_marks(stack.settings, collection)) == 8


def test_what_cannot_be_marked_is_said(marks: MarksStore, collection: Collection) -> None:
    with pytest.raises(NotFound, match="has no query 'q9'"):
        marks.mark(collection, "q9", "p1", Verdict.KEEP, "x")
    with pytest.raises(NotFound, match="has no passage 'p9'"):
        marks.mark(collection, "q1", "p9", Verdict.KEEP, "x")
    with pytest.raises(UsageError, match="needs a reason"):
        marks.mark(collection, "q1", "p1", Verdict.KEEP, " ")
    with pytest.raises(NotFound, match="is not marked"):
        marks.unmark(collection, "q1", "p1")
    with pytest.raises(UsageError, match="no such verdict 'fine'"):
        parse_verdict("fine")


def test_only_the_marks_of_the_collection_count(stack: Stack, marks: MarksStore, tmp_path: Path) -> None:
    one, other = (make(tmp_path / name, name=name, passages=PASSAGES, queries={"train": {"q": "x"}})
                  for name in ("one-of-two", "other-of-two"))  # fmt: skip
    marks.mark(one, "q", "p1", Verdict.KEEP, "here")
    assert len(load_marks(stack.settings, other)) == 0
    marks.unmark(one, "q", "p1")


def test_readers_may_not_write_marks_and_the_dispatcher_may_not_read_them(
    stack: Stack, marks: MarksStore, collection: Collection
) -> None:
    marks.mark(collection, "q1", "p2", Verdict.KEEP, "x")
    assert list(MarksStore(connect(stack.settings, "reader"), stack.settings).all(collection.name))
    index = stack.settings.index("marks")
    for user in ("reader", "api", "dispatcher"):
        with pytest.raises(AuthorizationException):
            connect(stack.settings, user).index(index=index, document={"verdict": "keep"})
    with pytest.raises(AuthorizationException):
        connect(stack.settings, "dispatcher").search(index=index)


def test_where_no_stack_was_ever_set_up_there_are_no_marks(tmp_path: Path, collection: Collection) -> None:
    assert len(load_marks(Settings(home=tmp_path / "nothing"), collection)) == 0


def test_a_stack_that_does_not_answer_is_told_with_both_remedies(
    stack: Stack, collection: Collection, tmp_path: Path
) -> None:
    away = stack.settings.model_copy(update={"es_url": "http://127.0.0.1:9"})
    with pytest.raises(Unavailable, match="marks cannot be read") as caught:
        load_marks(away, collection)
    assert "msmctl up" in str(caught.value.hint)
    assert "--no-marks" in str(caught.value.hint)


def test_marks_decide_what_is_exported(stack: Stack, tmp_path: Path, unique: str) -> None:
    shell = Shell(tmp_path)
    (tmp_path / "p.tsv").write_text("".join(f"{pid}\t{text}\n" for pid, text in PASSAGES.items()))
    (tmp_path / "q.tsv").write_text("q1\twhy\n")
    (tmp_path / "r.tsv").write_text("q1\tp1\t1\n")
    shell.msmctl("collection", "import", unique, "--passages", "p.tsv", "--queries", "train=q.tsv",
                 "--qrels", "train=r.tsv")  # fmt: skip
    from services.store import Store

    collection = Collection.open(Store(stack.settings.store_url), unique)
    save_run(collection, "bm25", {"q1": ["p1", "p2", "p3", "p4"]})
    there = ["--collection", unique]
    shell.msmctl("negatives", "mark", "q1", "p2", *there, "--verdict", "positive", "--reason", "answers it")
    shell.msmctl("negatives", "mark", "q1", "p4", *there, "--verdict", "excluded", "--reason", "spam")

    def exported(*more: str) -> tuple[dict[str, object], str | None]:
        shell.msmctl("export", "hard-negatives", *there, "-o", "n.jsonl", *more)
        manifest = json.loads((tmp_path / "n.jsonl.manifest.json").read_text())
        return json.loads((tmp_path / "n.jsonl").read_text()), manifest["inputs"]["marks"]

    row, mark_hash = exported()
    assert row == {"qid": "q1", "pos": ["p1", "p2"], "neg": {"bm25": ["p3"]}}
    assert mark_hash not in (None, "ignored")
    row, ignored = exported("--no-marks")
    assert row == {"qid": "q1", "pos": ["p1"], "neg": {"bm25": ["p2", "p3", "p4"]}}
    assert ignored == "ignored"
    shell.msmctl("negatives", "unmark", "q1", "p4", *there)
    assert exported()[0]["neg"] == {"bm25": ["p3", "p4"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MSM_ES_URL", "http://127.0.0.1:9")
        assert shell.run("export", "hard-negatives", *there, "-o", "m.jsonl").code == 5
        assert shell.run("export", "hard-negatives", *there, "-o", "m.jsonl", "--no-marks").code == 0
    shell.msmctl("collection", "rm", unique, "--yes")
