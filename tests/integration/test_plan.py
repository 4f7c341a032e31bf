"""`--dry-run --measure` on the stack: measured by the worker, and nothing of it stays."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.elastic.client import connect
from tests.conftest import Stack
from tests.integration.conftest import MODEL, Sample


def planned(sample: Sample, *command: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(sample.msmctl(*command, "--collection", sample.name, "--json"))
    return rows


def test_bm25_is_measured_by_the_worker_on_its_index(sample: Sample) -> None:
    (row,) = planned(sample, "plan", "mine", "--system", "bm25", "--split", "train", "--force")
    assert row["title"] == f"mine {sample.name}/train bm25"
    assert row["device"] == "elasticsearch"
    assert row["seconds"] > 0
    assert row["queries"] == row["rows"] > 0
    assert row["memory"] > 50e6


def test_an_index_is_measured_by_small_ones_that_are_removed(sample: Sample, stack: Stack) -> None:
    command = ["index", "build", "--system", MODEL, "--force", "--dry-run", "--measure"]
    vectors, index = planned(sample, *command)
    assert vectors["fresh"]
    passages = json.loads(sample.msmctl("collection", "show", sample.name, "--json"))["passages"]
    assert index["passages"] == passages
    assert index["elastic_bytes"] > 4 * 384 * passages, "vectors take so much, and there is text"
    names = connect(stack.settings).indices.get(index=stack.settings.index(sample.name, "*"))
    assert not [name for name in names if "measure" in name]


def test_a_job_that_measured_is_not_among_the_jobs(sample: Sample) -> None:
    planned(sample, "plan", "encode", "--system", MODEL, "--force")
    assert "measure" not in {job["kind"] for job in json.loads(sample.msmctl("jobs", "ls", "--json"))}


def test_plan_is_the_command_with_dry_run_and_measure(sample: Sample) -> None:
    words = ["encode", "--system", MODEL, "--force", "--local"]
    (one,) = planned(sample, "plan", *words)
    (other,) = planned(sample, *words, "--dry-run", "--measure")
    timed = {"seconds", "startup", "memory"}
    assert {key: one[key] for key in one.keys() - timed} == {key: other[key] for key in one.keys() - timed}
    assert one["tokens"] > one["rows"]


@pytest.mark.parametrize("command", [["encode", "--system", MODEL], ["mine", "--system", "bm25"]])
def test_measuring_without_a_dry_run_is_refused(sample: Sample, command: list[str]) -> None:
    done = sample.run(*command, "--collection", sample.name, "--measure")
    assert done.code == 2
    assert "--measure goes with --dry-run" in done.stderr
    assert "msmctl plan" in done.stderr


def test_people_read_a_table_and_a_total(sample: Sample) -> None:
    done = sample.run("plan", "mine", "--collection", sample.name, "--system", "bm25", "--force")
    header, row = done.stdout.splitlines()
    assert "elastic_bytes" not in header, "no column that says nothing"
    assert row.startswith(f"mine {sample.name}/train bm25\t")
    assert "total: 1 job; 0:00:0" in done.stderr
    assert "on elasticsearch with one worker" in done.stderr
