"""Bad input: each says file:line, what was found and what to do, and leaves no half collection."""

from __future__ import annotations

import errno
import gzip
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import zstandard
from collection_kit import Kit, live_texts

from services.collections import change
from services.collections.sources import lines
from services.errors import InputError, MsmError, UsageError


@dataclass(frozen=True)
class Bad:
    """One bad row: where it is, what is said, and how many passages are left when it is skipped."""

    id: str
    where: str
    found: str
    passages: str | bytes = "p1\tone\np2\ttwo\n"
    queries: dict[str | None, str | bytes] = field(default_factory=dict)
    qrels: dict[str, str | bytes] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    left: int = 2


JSONL = {"passages_name": "passages.jsonl"}
Q: dict[str | None, str | bytes] = {"test": "q1\tone\n"}
LONG = "x" * 100_001

CASES = [
    Bad("duplicate pid", "passages.tsv:3", "duplicate pid 'p1': first at", "p1\tone\np2\ttwo\np1\tthree\n"),
    Bad("empty text", "passages.tsv:2", "'p2': text is empty", "p1\tone\np2\t\np3\tthree\n"),
    Bad("text of white space", "passages.tsv:2", "text is empty", "p1\tone\np2\t \u00a0 \np3\tthree\n"),
    Bad("broken UTF-8", "passages.tsv:2", "broken UTF-8: byte 0xff at byte 6",
        b"p1\tone\np2\tab\xff\np3\tthree\n"),
    Bad("too few columns", "passages.tsv:2", "1 column, not 2", "p1\tone\np2 two\np3\tthree\n"),
    Bad("too many columns", "passages.tsv:2", "3 columns, not 2", "p1\tone\np2\ttwo\tmore\np3\tthree\n"),
    Bad("empty cells", "passages.tsv:2", "no pid", "p1\tone\n\t\np3\tthree\n"),
    Bad("no pid", "passages.tsv:2", "no pid", "p1\tone\n\ttwo\np3\tthree\n"),
    Bad("pid with white space", "passages.tsv:2", "pid has white space", "p1\tone\np 2\ttwo\np3\tthree\n"),
    Bad("pid with a no-break space", "passages.tsv:2", "pid has white space",
        "p1\tone\np\u00a02\ttwo\np3\tthree\n"),
    Bad("pid too long", "passages.tsv:2", "pid has 514 bytes", f"p1\tone\n{'ä' * 257}\ttwo\np3\tthree\n"),
    Bad("text too long", "passages.tsv:2", "100,001 characters", f"p1\tone\np2\t{LONG}\np3\tthree\n"),
    Bad("a NUL", "passages.tsv:2", "NUL character at position 1", "p1\tone\np2\ta\0b\np3\tthree\n"),
    Bad("huge line", "passages.tsv:2", "longer than 8 MiB",
        b"p1\tone\np2\t" + b"x" * (lines.LONGEST_LINE * 2) + b"\np3\tthree\n"),
    Bad("broken JSON", "passages.jsonl:2", "no valid JSON",
        '{"pid":"1","text":"a"}\n{"pid":"2","text":\n{"pid":"3","text":"c"}\n', more=JSONL),
    Bad("lone surrogate", "passages.jsonl:2", "no valid JSON",
        '{"pid":"1","text":"a"}\n{"pid":"2","text":"\\ud800"}\n{"pid":"3","text":"c"}\n', more=JSONL),
    Bad("no object", "passages.jsonl:2", "no JSON object but list",
        '{"pid":"1","text":"a"}\n["2"]\n{"pid":"3","text":"c"}\n', more=JSONL),
    Bad("text is a number", "passages.jsonl:2", "text is no text: '5'",
        '{"pid":"1","text":"a"}\n{"pid":"2","text":5}\n{"pid":"3","text":"c"}\n', more=JSONL),
    Bad("pid is no text", "passages.jsonl:2", "pid is no text: '1.5'",
        '{"pid":"1","text":"a"}\n{"pid":1.5,"text":"b"}\n{"pid":"3","text":"c"}\n', more=JSONL),
    Bad("no text", "passages.jsonl:2", "no text",
        '{"pid":"1","text":"a"}\n{"pid":"2"}\n{"pid":"3","text":"c"}\n', more=JSONL),
    Bad("neither title nor text", "passages.jsonl:2", "text is empty",
        '{"pid":"1","text":"a"}\n{"pid":"2","title":" ","text":""}\n{"pid":"3","text":"c"}\n', more=JSONL),
    Bad("a field of another type", "passages.jsonl:2", "field 'year' is no integer: 'MMXX'",
        '{"pid":"1","text":"a","year":1}\n{"pid":"2","text":"b","year":"MMXX"}\n{"pid":"3","text":"c"}\n',
        more=JSONL | {"fields": ("year:integer",)}),
    Bad("duplicate qid", "queries.test.tsv:2", "duplicate qid 'q1': first at",
        queries={"test": "q1\ta\nq1\ta\n"}),
    Bad("empty query", "queries.test.tsv:2", "query 'q2': text is empty", queries={"test": "q1\ta\nq2\t\n"}),
    Bad("qid with white space", "queries.test.tsv:2", "qid has white space",
        queries={"test": "q1\ta\nq 2\tb\n"}),
    Bad("a qid with two texts", "queries.test.tsv:2", "qid 'q1' has another text at",
        queries={"train": "q1\ta\n", "test": "q2\tb\nq1\tother\n"}),
    Bad("unknown pid", "qrels.test.txt:2", "unknown pid 'p9'", queries=Q,
        qrels={"test": "q1 0 p1 1\nq1 0 p9 1\n"}),
    Bad("two grades outside", "qrels.test.txt:3", "are judged 2 here and 1 at", queries=Q,
        qrels={"test": "q1 0 p1 2\nq1 0 p9 1\nq1 0 p9 2\n"}, more={"min_rel": 2}),
    Bad("unknown qid", "qrels.test.txt:2", "unknown qid 'q9': no query of split 'test'", queries=Q,
        qrels={"test": "q1 0 p1 1\nq9 0 p1 1\n"}),
    Bad("a qid of another split", "qrels.test.txt:2", "no query of split 'test'",
        queries={"train": "q2\tb\n", **Q}, qrels={"test": "q1 0 p1 1\nq2 0 p1 1\n"}),
    Bad("grade is no integer", "qrels.test.txt:2", "grade is no integer: '1.5'", queries=Q,
        qrels={"test": "q1 0 p1 1\nq1 0 p2 1.5\n"}),
    Bad("two grades", "qrels.test.txt:3", "are judged 2 here and 1 at", queries=Q,
        qrels={"test": "q1 0 p1 1\nq1 0 p2 1\nq1 0 p1 2\n"}),
    Bad("qrels of five columns", "qrels.test.txt:2", "5 columns, not 4", queries=Q,
        qrels={"test": "q1 0 p1 1\nq1 0 p2 1 1\n"}),
]  # fmt: skip


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)


@pytest.mark.parametrize("bad", CASES, ids=lambda bad: bad.id)
def test_a_bad_row_fails_the_import_with_its_place_and_leaves_nothing(kit: Kit, bad: Bad) -> None:
    with pytest.raises(InputError) as caught:
        kit.make(bad.passages, bad.queries, bad.qrels, **bad.more)
    assert f"{bad.where}: " in caught.value.message
    assert bad.found in caught.value.message
    assert "--on-error skip" in str(caught.value.hint)
    assert kit.everything() == []


@pytest.mark.parametrize("bad", CASES, ids=lambda bad: bad.id)
def test_a_bad_row_is_left_out_on_request_and_written_down(kit: Kit, bad: Bad) -> None:
    outcome = kit.make(bad.passages, bad.queries, bad.qrels, on_error="skip", **bad.more)
    assert outcome.rejected == 1
    assert outcome.state.live_passages == bad.left
    assert outcome.rejects == str(kit.folder / "store/collections/c/rejects/1.jsonl")
    (reject,) = [json.loads(line) for line in Path(outcome.rejects).read_text().splitlines()]
    assert f"{reject['file']}:{reject['line']}".endswith(bad.where)
    assert bad.found in reject["found"]
    assert reject["remedy"]


def truncated_gzip() -> bytes:
    return gzip.compress(b"".join(b"p%d\ttext %d\n" % (i, i * i) for i in range(5000)))[:-2000]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.tsv.gz", truncated_gzip(), "p.tsv.gz:"),
        ("p.tsv.gz", gzip.compress(b"p1\tone\n")[:-8] + b"\0" * 8, "p.tsv.gz:"),
        ("p.tsv.zst", zstandard.compress(b"p1\tone\n" * 99)[:-5], "p.tsv.zst:1: the file ends early"),
        ("p.tsv.gz", b"p1\tone\n", "is no gzip file"),
        ("p.tsv.zst", b"p1\tone\n", "is no zstd file"),
        ("p.tsv", b"", "p.tsv:1: the file is empty"),
        ("p.tsv.gz", gzip.compress(b""), "no passage could be taken"),
        ("p.tsv", b"\n\n", "no passage could be taken"),
        ("p.parquet", b"p1\tone\n", "p.parquet: no parquet file, or a damaged one"),
        ("p.parquet", b"PAR1" + b"\0" * 99, "no parquet file, or a damaged one"),
        ("p.parquet.gz", truncated_gzip(), "p.parquet.gz:1: the compressed file is damaged"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_a_damaged_file_fails_the_import_even_where_bad_rows_are_skipped(
    kit: Kit, name: str, content: bytes, said: str, on_error: change.OnError
) -> None:
    with pytest.raises(InputError) as caught:
        kit.make(content, passages_name=name, on_error=on_error)
    assert said in caught.value.message
    assert caught.value.hint
    assert kit.everything() == []


def test_a_missing_file_and_a_folder_are_said_to_be(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "none.tsv", "no such file"), (tmp_path, "is a folder")):
        with pytest.raises(InputError, match=said):
            lines.require_file(path)


@pytest.mark.parametrize(
    ("queries", "qrels"), [({"test": "bad\n"}, {}), ({"test": "q\ta\n"}, {"test": "q 0 unknown 1\n"})]
)
def test_a_file_of_which_nothing_is_left_is_an_error_even_when_skipping(
    kit: Kit, queries: dict[str | None, str | bytes], qrels: dict[str, str | bytes]
) -> None:
    with pytest.raises(InputError, match="could be taken"):
        kit.make("p1\tone\n", queries, qrels, on_error="skip")
    assert kit.everything() == []


def test_qrels_without_queries_are_refused(kit: Kit) -> None:
    with pytest.raises(UsageError, match="qrels without queries"):
        kit.make("p1\tone\n", {}, {"test": "q 0 p1 1\n"})


def test_a_declared_field_that_no_passage_has_is_a_spelling_mistake(kit: Kit) -> None:
    with pytest.raises(InputError, match="no passage has the field 'yaer'"):
        kit.make('{"pid":"1","text":"a","year":1}\n', passages_name="p.jsonl", fields=("yaer:integer",))


def test_a_declared_field_that_is_no_column_is_refused(kit: Kit) -> None:
    with pytest.raises(UsageError, match="'year' is none of the columns"):
        kit.make("p1\tone\n", fields=("year:integer",))


@pytest.mark.parametrize("text", ["year", "year:int", ":integer", "a b:keyword", "pid:keyword", "1a:keyword"])
def test_a_bad_field_declaration_is_refused(kit: Kit, text: str) -> None:
    with pytest.raises(UsageError, match="bad field"):
        kit.make("p1\tone\n", fields=(text,))


def test_rejects_without_number_are_all_counted_and_the_rest_is_whole(kit: Kit) -> None:
    rows = [f"p{i % 900}\ttext {i}" if i % 7 else f"p{i}" for i in range(10_000)]
    outcome = kit.make("\n".join(rows), on_error="skip")
    expected: dict[str, str] = {}
    for row in rows:
        if "\t" in row:
            pid, text = row.split("\t")
            expected.setdefault(pid, text)
    assert live_texts(kit.open()) == expected
    assert outcome.rejected == len(rows) - len(expected)


def test_skipped_rows_are_not_fresh_for_an_import_that_shall_fail(kit: Kit) -> None:
    kit.make("p1\tone\nbad\n", on_error="skip")
    assert kit.make("p1\tone\nbad\n", on_error="skip").did == "fresh"
    with pytest.raises(MsmError, match="exists already"):
        kit.make("p1\tone\nbad\n")


def test_a_full_disk_is_said_to_be_and_nothing_is_changed(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(kit.store, "write_part", full)
    with pytest.raises(MsmError, match="No space left on device"):
        kit.make("p1\tone\n")
    assert kit.everything() == []
