"""The process that trains: it ends with its parent, ends when told, and shows nothing of its task."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from services.training import process
from services.training.task import Task
from tests.conftest import ROOT
from tests.unit import training_kit as kit

_PARENT = """
import sys
from services.training.process import run
from services.training.task import Task
for _ in run(Task.model_validate_json(sys.argv[1]), lambda: None):
    pass
"""


def task(scratch: Path) -> Task:
    about = {"name": "tiny", "makes": "bi-encoder", "transformer": str(scratch), "fingerprint": "f"}
    recipe = {"name": "r", "method": "ce-bce", "base": "tiny", "steps": 1}
    return Task.model_validate(
        {
            "work": "measure", "recipe": recipe, "base": about, "scratch": str(scratch), "checkpoint": None,
            "data": str(scratch / "data"), "precision": "fp32", "threads": 1, "device": "cpu",
        }
    )  # fmt: skip


def test_the_process_goes_down_with_a_parent_that_is_killed_and_leaves_no_scratch(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, task(scratch).model_dump_json()], cwd=ROOT)
    child = _child_of(parent.pid)
    time.sleep(0.5)  # it reads its task
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert psutil.wait_procs([child], timeout=20)[0] == [child]
    assert not scratch.exists()


def test_the_process_is_ended_when_the_chunk_must_stop(tmp_path: Path) -> None:
    seen: list[psutil.Process] = []

    class Stop(BaseException):
        pass

    def alive() -> None:
        seen.extend(kit.children())
        if seen:
            raise Stop

    with pytest.raises(Stop):
        list(process.run(task(tmp_path), alive))
    assert not psutil.pid_exists(seen[0].pid)


def test_nothing_of_the_task_stands_on_the_command_line(tmp_path: Path) -> None:
    lines: list[list[str]] = []

    class Stop(BaseException):
        pass

    def alive() -> None:
        lines.extend(child.cmdline() for child in kit.children())
        if lines:
            raise Stop

    with pytest.raises(Stop):
        list(process.run(task(tmp_path), alive))
    assert lines[0][1:] == ["-m", "services.training.child"]


def _child_of(pid: int) -> psutil.Process:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = psutil.Process(pid).children()
        if found and "services.training.child" in found[0].cmdline():
            return found[0]
        time.sleep(0.02)
    raise AssertionError("no child")
