"""The demo's corpus: Python's documentation as passages and known-item queries."""

import json
from pathlib import Path

import pytest

from demo.corpus import Corpus, build, parse, split_of


def test_a_summary_with_a_body_becomes_a_query_and_leaves_the_passage() -> None:
    entry = parse(
        "function", "heapq.merge", "merge(*iterables)", "Merge sorted inputs.\n\nReturns a generator."
    )
    assert entry.summary == "Merge sorted inputs."
    assert entry.text == "merge(*iterables)\nReturns a generator."


def test_a_docstring_of_one_line_stays_in_the_passage() -> None:
    entry = parse("function", "math.exp", "exp(x)", "Return e raised to the power of x.")
    assert entry.summary is None
    assert entry.text == "exp(x)\nReturn e raised to the power of x."


def test_a_summary_wrapped_once_is_one_query() -> None:
    entry = parse("method", "a.b", "", "Do what is\n   asked for.\n\nMore.")
    assert entry.summary == "Do what is asked for."


def test_the_call_that_c_functions_begin_with_is_the_signature() -> None:
    entry = parse(
        "function", "socket.gethostname", "", "gethostname() -> string\n\nReturn the host.\n\nLong."
    )
    assert (entry.signature, entry.summary, entry.rest) == (
        "gethostname() -> string",
        "Return the host.",
        "Long.",
    )


def test_a_first_line_that_repeats_the_name_is_dropped() -> None:
    assert (
        parse("module", "curses.panel", "", "curses.panel\n\nPanels for windows.").text
        == "Panels for windows."
    )


@pytest.mark.parametrize("first", ["**DEPRECATED**", "--", "Three lines\nof words\nare a text."])
def test_what_is_no_sentence_is_no_query(first: str) -> None:
    assert parse("function", "a.b", "", f"{first}\n\nBody.").summary is None


def test_a_module_is_in_the_same_split_on_every_machine() -> None:
    assert [split_of(name) for name in ("asyncio", "os", "inspect")] == ["train", "dev", "test"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return build(tmp_path_factory.mktemp("corpus"))


def lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_every_documented_object_is_there_once(corpus: Corpus) -> None:
    passages = {line["_id"]: line["text"] for line in lines(corpus.folder / "corpus.jsonl")}
    assert len(passages) == corpus.passages
    assert {"json", "json.decoder.JSONDecoder", "textwrap.indent", "os.fork"} <= set(passages)
    assert "json.JSONDecoder" not in passages, "an alias"
    assert "collections.OrderedDict.values" not in passages or "builtins.dict.values" in passages
    assert not any(name.split(".")[0] in ("antigravity", "this", "idlelib", "test") for name in passages)


def test_the_text_depends_on_nothing_but_the_python(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "a-value-of-the-environment")
    again = build(tmp_path)
    assert again.made
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        assert (tmp_path / name).read_bytes() == (corpus.folder / name).read_bytes()
    text = (tmp_path / "corpus.jsonl").read_text("utf-8")
    assert " at 0x" not in text
    assert "a-value-of-the-environment" not in text


def test_a_query_text_is_there_once_and_its_answers_are_passages(corpus: Corpus) -> None:
    texts = [line["text"] for line in lines(corpus.folder / "queries.jsonl")]
    assert len(texts) == len(set(texts)) == sum(corpus.queries.values())
    pids = {line["_id"] for line in lines(corpus.folder / "corpus.jsonl")}
    qids = {line["_id"] for line in lines(corpus.folder / "queries.jsonl")}
    for split in corpus.queries:
        rows = [
            row.split("\t") for row in (corpus.folder / f"qrels/{split}.tsv").read_text().splitlines()[1:]
        ]
        assert {qid for qid, _, _ in rows} <= qids
        assert {pid for _, pid, _ in rows} <= pids


def test_a_corpus_that_is_there_is_not_made_again(corpus: Corpus) -> None:
    again = build(corpus.folder)
    assert not again.made
    assert (again.passages, again.queries) == (corpus.passages, corpus.queries)
