"""`msmctl collection …` as a person types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from collection_kit import Answer, run_main

from cli.progress import clock, progress

SAMPLES = Path(__file__).parents[1] / "samples"
IMPORT = [
    "collection", "import", "sample", "--passages", SAMPLES / "passages.tsv",
    "--queries", f"train={SAMPLES}/queries.train.tsv", "--queries", f"test={SAMPLES}/queries.test.tsv",
    "--qrels", f"train={SAMPLES}/qrels.train.tsv", "--qrels", f"test={SAMPLES}/qrels.test.tsv",
]  # fmt: skip


Msmctl = Callable[..., Answer]


@pytest.fixture
def msmctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Msmctl:
    monkeypatch.setenv("MSM_HOME", str(tmp_path / "home"))
    return partial(run_main, monkeypatch, capsys)


def test_import_show_update_verify_use_and_remove(msmctl: Msmctl, tmp_path: Path) -> None:
    made = msmctl(*IMPORT, "--json")
    assert made.code == 0, made.stderr
    assert json.loads(made.stdout) | {"fingerprint": ""} == {
        "did": "imported", "dry_run": False, "collection": "sample", "version": 1, "passages": 40,
        "queries": 36, "splits": {"train": 24, "test": 12}, "new_passages": 40, "tombstones": 0,
        "rejected": 0, "rejects": None, "outside": 0, "fingerprint": "",
    }  # fmt: skip
    assert "import sample: " in made.stderr

    again = msmctl(*IMPORT)
    assert (again.code, again.stdout.splitlines()[:3]) == (
        0,
        ["did\tfresh", "dry_run\tFalse", "collection\tsample"],
    )
    assert "fresh, skipped" in again.stderr

    (tmp_path / "gone.txt").write_text("tides\n")
    updated = msmctl("collection", "update", "sample", "--delete", tmp_path / "gone.txt", "--json")
    assert json.loads(updated.stdout)["tombstones"] == 1

    shown = json.loads(msmctl("collection", "show", "--json").stdout)
    assert (shown["passages"], shown["deleted"], shown["version"], shown["current"]) == (39, 1, 2, True)
    assert shown["splits"]["train"]["queries"] == 24

    assert json.loads(msmctl("collection", "verify", "--json").stdout)["ok"] is True
    assert msmctl("collection", "verify").stdout == "where\tfound\n"
    assert msmctl("collection", "use", "sample").stdout == "current\tsample\n"
    assert msmctl("collection", "ls").stdout.splitlines()[1].split("\t")[:5] == [
        "sample",
        "True",
        "2",
        "39",
        "36",
    ]

    refused = msmctl("collection", "rm", "sample")
    assert (refused.code, "--yes" in refused.stderr) == (2, True)
    assert msmctl("collection", "rm", "sample", "--yes").stdout == "removed\tsample\n"
    assert json.loads(msmctl("collection", "ls", "--json").stdout) == []


def test_damage_is_reported_with_exit_code_1(msmctl: Msmctl, tmp_path: Path) -> None:
    msmctl(*IMPORT)
    next((tmp_path / "home/store/collections/sample/qrels").iterdir()).unlink()
    found = msmctl("collection", "verify", "--json")
    assert found.code == 1
    assert json.loads(found.stdout)["findings"][0]["found"] == "the part is missing"


def test_bad_rows_are_told_on_stderr_as_json_and_exit_1(msmctl: Msmctl, tmp_path: Path) -> None:
    (tmp_path / "bad.tsv").write_text("p1\tone\np1\ttwo\n")
    answer = msmctl("collection", "import", "bad", "--passages", tmp_path / "bad.tsv", "--json")
    assert (answer.code, answer.stdout) == (1, "")
    error = json.loads(answer.stderr.splitlines()[-1])["error"]
    assert error["code"] == "bad_input"
    assert "bad.tsv:2: duplicate pid 'p1'" in error["message"]


def test_columns_fields_and_skipped_rows(msmctl: Msmctl, tmp_path: Path) -> None:
    (tmp_path / "p.tsv").write_text("p1\tA title\tone\t1999\np2\t\ttwo\tMM\n")
    answer = msmctl(
        "collection", "import", "c", "--passages", tmp_path / "p.tsv", "--columns", "pid,title,text,year",
        "--field", "year:integer", "--on-error", "skip",
    )  # fmt: skip
    assert answer.code == 0
    assert "1 bad rows left out, written to " in answer.stderr
    assert "rejected\t1" in answer.stdout.splitlines()
    assert json.loads(msmctl("collection", "show", "c", "--json").stdout)["fields"] == {"year": "integer"}


def test_passages_come_from_one_place(msmctl: Msmctl, tmp_path: Path) -> None:
    answer = msmctl("collection", "import", "c", "--passages", tmp_path / "x", "--beir", tmp_path)
    assert (answer.code, "no such file" in answer.stderr) == (1, True)
    answer = msmctl("collection", "import", "c", "--passages", SAMPLES / "passages.tsv", "--beir", tmp_path)
    assert (answer.code, "several places" in answer.stderr) == (2, True)
    answer = msmctl("collection", "import", "c")
    assert (answer.code, "no passages given" in answer.stderr) == (2, True)


def test_progress_elsewhere_than_on_a_terminal_is_lines_with_rate_and_time_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress(10, "work", "rows") as bar:
        bar.advance(4)
        assert bar.fraction == 0.4
        bar.started -= 4
        assert bar.line().startswith("4/10 rows, 1.0/s, 6.0 s left")
        bar.shown_at -= 2  # five per cent further, and not within a second of the last line
        bar.advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("work: 50%, 5/10 rows")
    assert lines[-1].startswith("work: 5 rows in ")


def test_what_was_done_before_counts_in_no_rate(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(10, "work", "rows", before=6) as bar:
        bar.started -= 4
        assert bar.line().startswith("6/10 rows, 0.0/s")
        assert "left" not in bar.line()
        bar.advance(2)
        assert bar.line().startswith("8/10 rows, 0.5/s, 4.0 s left")
    assert capsys.readouterr().err.splitlines()[-1].startswith("work: 2 rows in ")


@pytest.mark.parametrize(("seconds", "text"), [(4.23, "4.2 s"), (187, "3:07"), (3723, "1:02:03")])
def test_times_are_short(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize("given", ["bad/split=q.tsv", "=q.tsv", "train="])
def test_a_split_that_is_none_is_named(msmctl: Msmctl, given: str) -> None:
    answer = msmctl("collection", "import", "x", "--passages", SAMPLES / "passages.tsv", "--queries", given)
    assert answer.code == 2
    assert "names no split, or nothing follows it" in answer.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("collection", "import", "c", "--passages", "p\udcff.tsv"),
        ("collection", "import", "c", "--passages", "p.tsv", "--qrels", "train=q\udcff.tsv"),
        ("import", "hard-negatives", "\udcff.jsonl"),
        ("run", "import", "\udcff.trec", "--system", "s", "--split", "train"),
        ("export", "hard-negatives", "--output", "out\udcff.jsonl"),
        ("kibana", "export", "--output", "out\udcff.ndjson"),
    ],
    ids=" ".join,
)
def test_a_file_name_that_is_no_utf8_is_refused_before_any_work(
    msmctl: Msmctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    said = msmctl(*arguments)
    assert said.code == 2
    assert "\\udcff" in said.stderr
    assert "is not UTF-8: rename it" in said.stderr
    as_json = msmctl(*arguments, "--json")
    assert as_json.code == 2
    assert json.loads(as_json.stderr)["error"]["code"] == "usage"
    assert list(tmp_path.iterdir()) == []
