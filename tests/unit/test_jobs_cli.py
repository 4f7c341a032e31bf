"""Job commands without any service: `--local` with the file ledger, and clear refusals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MSMCTL


def test_a_local_run_needs_no_service(cli: Any, tmp_path: Path) -> None:
    answer = cli("jobs", "probe", "--local", "--json", home=tmp_path)
    assert (answer.code, json.loads(answer.stdout)[0]["state"]) == (0, "succeeded")
    # A rate where there was time to watch, else what was done.
    assert re.search(r"probe cpu 1,000 numbers: 1,000 (in .*/s|done)", answer.stderr)
    listed = json.loads(cli("jobs", "ls", "--json", home=tmp_path).stdout)
    assert [(job["state"], job["done"], job["chunks"], job["rows"]) for job in listed] == [
        ("succeeded", 4, 4, 1000)
    ]


def test_no_jobs_are_an_empty_list(cli: Any, tmp_path: Path) -> None:
    cli("jobs", "probe", "--local", home=tmp_path)
    assert cli("jobs", "rm", "--ended", home=tmp_path).code == 0
    answer = cli("jobs", "ls", "--json", home=tmp_path)
    assert (answer.code, json.loads(answer.stdout)) == (0, [])


def test_without_a_stack_the_hint_names_what_to_type(cli: Any, tmp_path: Path) -> None:
    for arguments in (("jobs", "probe"), ("jobs", "show", "mine-20000101-000000-0000")):
        answer = cli(*arguments, home=tmp_path)
        assert answer.code == 5
        assert "msmctl up" in answer.stderr


def test_an_unknown_job_is_not_found(cli: Any, tmp_path: Path) -> None:
    cli("jobs", "probe", "--local", home=tmp_path)
    for command in ("show", "watch", "cancel"):
        answer = cli("jobs", command, "mine-20000101-000000-0000", home=tmp_path)
        assert (command, answer.code) == (command, 7)


@pytest.mark.parametrize(
    "arguments",
    [
        ("probe", "--detach", "--local"),
        ("rm",),
        ("ls", "--state", "sleeping"),
        ("probe", "--numbers", "0"),
        ("watch",),
        ("probe", "--queue", "tpu"),
    ],
)
def test_requests_that_make_no_sense_are_refused(
    cli: Any, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    assert cli("jobs", *arguments, home=tmp_path).code == 2


def test_an_ended_job_cannot_be_cancelled(cli: Any, tmp_path: Path) -> None:
    job = json.loads(cli("jobs", "probe", "--local", "--json", home=tmp_path).stdout)[0]["job"]
    assert cli("jobs", "cancel", job, home=tmp_path).code == 6


def test_a_ledger_of_another_store_is_refused(cli: Any, tmp_path: Path) -> None:
    cli("jobs", "probe", "--local", home=tmp_path)
    answer = cli("jobs", "ls", home=tmp_path, environment={"MSM_STORE": str(tmp_path / "elsewhere")})
    assert answer.code == 6
    assert "belongs to the store" in answer.stderr
    assert "MSM_PREFIX" in answer.stderr


def started_local_run(home: Path) -> subprocess.Popen[str]:
    """A local run of a long job that has begun to work."""
    process = subprocess.Popen(
        [MSMCTL, "jobs", "probe", "--local", "--pause", "30"],
        env=os.environ | {"MSM_HOME": str(home)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    next(line for line in process.stderr if line.startswith("job "))
    time.sleep(1)
    return process


def test_ctrl_c_stops_a_local_run_and_the_same_command_goes_on(tmp_path: Path) -> None:
    process = started_local_run(tmp_path)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "goes on from here" in err


def test_a_local_run_that_takes_longer_than_its_timeout_stops(cli: Any, tmp_path: Path) -> None:
    answer = cli("jobs", "probe", "--local", "--pause", "30", "--timeout", "1", home=tmp_path)
    assert answer.code == 124
    assert "goes on from here" in answer.stderr


def test_the_job_of_a_killed_local_run_stays_open_and_watching_it_says_why(cli: Any, tmp_path: Path) -> None:
    process = started_local_run(tmp_path)
    process.kill()
    process.communicate()
    (job,) = json.loads(cli("jobs", "ls", "--json", home=tmp_path).stdout)
    assert job["state"] == "running"
    watched = cli("jobs", "watch", job["job"], home=tmp_path)
    assert watched.code == 1
    assert "has gone" in watched.stderr
