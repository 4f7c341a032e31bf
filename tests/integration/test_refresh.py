"""The whole loop in one command: what is fresh is left alone, what changed is done, a kill loses nothing."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MSMCTL, Stack
from tests.docs_kit import validate
from tests.integration.conftest import MODEL, Sample, Shell
from tests.unit.tiny_ce import tiny_ce


@pytest.fixture
def small(stack: Stack, sample: Sample, unique: str) -> Iterator[str]:
    """A collection of its own of the sample's files, and a cross-encoder of the same name."""
    name = f"refresh-{unique}"
    given = ["--queries", "train=queries.train.tsv", "--qrels", "train=qrels.train.tsv"]
    sample.msmctl("collection", "import", name, "--passages", "passages.tsv", *given)
    tiny_ce(sample.folder / name, "bert", max_length=96)
    sample.msmctl("ce", "add", name, "--model", name)
    yield name
    sample.msmctl("collection", "rm", name, "--yes")


def asked(name: str, *more: str) -> list[str]:
    return ["refresh", "--collection", name, "--system", f"bm25,{MODEL}", "--ce", name, "--top", "5",
            "--depth", "10", "--json", *more]  # fmt: skip


def refreshed(shell: Shell, name: str, *more: str) -> dict[str, Any]:
    printed: dict[str, Any] = json.loads(shell.msmctl(*asked(name, *more)))
    for schema, part in (
        ("refresh", printed),
        ("jobs-outcome", printed["steps"]),
        ("export", printed["export"]),
    ):
        validate(schema, part)
    return printed


def negatives(file: str) -> list[dict[str, Any]]:
    with gzip.open(file, "rt") as lines:
        return [json.loads(line) for line in lines]


def test_a_second_refresh_does_nothing_and_says_so(sample: Sample, small: str) -> None:
    first = refreshed(sample, small)
    assert first["done"] == 5  # index, two runs, scores, export
    assert len(negatives(first["export"]["file"])) == 24
    again = sample.run(*asked(small))
    assert json.loads(again.stdout)["done"] == 0
    assert "nothing to do" in again.stderr


def test_an_update_is_followed(sample: Sample, small: str) -> None:
    refreshed(sample, small)
    (sample.folder / "more.tsv").write_text("new1\tThe tide is the rise and fall of the sea.\n", "utf-8")
    sample.msmctl("collection", "update", small, "--passages", "more.tsv")
    second = refreshed(sample, small)
    assert second["done"] == 5
    after = negatives(second["export"]["file"])
    assert any("new1" in pids for row in after for pids in row["neg"].values())
    scored = next(step for step in second["steps"] if step["title"].startswith("score"))["result"]
    assert 0 < scored["scored"] < scored["unique"]  # only what is new


def test_a_dry_run_says_what_it_can_and_does_nothing(sample: Sample, small: str) -> None:
    planned = sample.run(*asked(small, "--dry-run"))
    titles = [row["title"] for row in json.loads(planned.stdout)]
    assert titles == [f"encode {small} {MODEL}", f"index {small} {MODEL}", f"mine {small}/train bm25",
                      f"mine {small}/train {MODEL}"]  # fmt: skip
    assert "to be planned" in planned.stderr
    assert json.loads(sample.msmctl("jobs", "ls", "--json"))[0]["title"] not in titles


def test_a_killed_refresh_goes_on(sample: Sample, small: str, tmp_path: Path) -> None:
    command = [MSMCTL, *asked(small, "-o", str(tmp_path / "n.jsonl.gz"))]
    begun = subprocess.Popen(command, cwd=sample.folder, stderr=subprocess.PIPE, text=True)
    assert begun.stderr is not None
    next(line for line in begun.stderr if line.startswith("job "))
    begun.send_signal(signal.SIGKILL)
    begun.communicate()
    time.sleep(0.5)
    ended = json.loads(sample.msmctl(*asked(small, "-o", str(tmp_path / "n.jsonl.gz"))))
    assert ended["export"]["queries"] == 24
    assert len(negatives(str(tmp_path / "n.jsonl.gz"))) == 24


def test_a_filter_needs_scores_and_is_applied(sample: Sample, small: str, tmp_path: Path) -> None:
    every = refreshed(sample, small, "-o", str(tmp_path / "all.jsonl.gz"))["export"]["negatives"]
    some = refreshed(sample, small, "--filter", "rank-range=2:6", "-o", str(tmp_path / "some.jsonl.gz"))
    assert 0 < some["export"]["negatives"] < every
    assert some["done"] == 1
