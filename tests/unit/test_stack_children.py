"""Processes are recognised by id and start time, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from services.stack import children
from services.stack.children import Child

# Starts a child of its own, says so, and ignores SIGTERM when told to.
PARENT = """
import signal, subprocess, sys, time
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid, flush=True)
time.sleep(600)
"""


def start(home: Path, *arguments: str) -> tuple[Child, int]:
    """A process and the id of its own child."""
    log = home / f"{len(list(home.iterdir()))}.log"
    child = children.spawn(
        [sys.executable, "-c", PARENT, *arguments], environment={"MSM_HOME": str(home)}, folder=home, log=log
    )
    limit = time.monotonic() + 20
    while not log.read_text().endswith("\n"):
        assert time.monotonic() < limit
        time.sleep(0.02)
    return child, int(log.read_text())


def runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_stop_ends_the_process_and_its_own_children(tmp_path: Path) -> None:
    child, grandchild = start(tmp_path)
    assert child.alive
    children.stop([(child, 10.0)])
    assert not child.alive
    assert not runs(grandchild)


def test_a_child_can_stand_back(tmp_path: Path) -> None:
    here = os.getpriority(os.PRIO_PROCESS, 0)
    for nice in (0, 7):
        child = children.spawn(
            ["sleep", "600"],
            environment={"MSM_HOME": str(tmp_path), "PATH": os.defpath},
            folder=tmp_path,
            log=tmp_path / "log",
            nice=nice,
        )
        assert os.getpriority(os.PRIO_PROCESS, child.pid) == min(19, here + nice)
        children.stop([(child, 10.0)])


def test_one_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    child, _ = start(tmp_path, "stubborn")
    begun = time.monotonic()
    children.stop([(child, 0.3)])
    assert not child.alive
    assert 0.3 <= time.monotonic() - begun < 5


def test_what_a_killed_process_leaves_behind_is_found_and_swept(tmp_path: Path) -> None:
    child, grandchild = start(tmp_path)
    os.kill(child.pid, signal.SIGKILL)
    while child.alive:
        children.reap()
    assert [process.pid for process in child.members()] == [grandchild]
    children.stop([(child, 1.0)])
    assert child.members() == []


def test_it_is_recognised_after_a_round_trip_through_the_state_file(tmp_path: Path) -> None:
    child, _ = start(tmp_path)
    assert Child.load(child.as_dict()) == child == Child.of(child.pid, tmp_path)
    children.stop([(child, 5.0)])


@pytest.mark.parametrize("change", [{"started": "another time"}, {"home": "/elsewhere"}])
def test_a_stranger_with_the_same_id_is_left_alone(tmp_path: Path, change: dict[str, str]) -> None:
    child, grandchild = start(tmp_path)
    stranger = Child.load(child.as_dict() | change)
    if "started" in change:
        assert not stranger.alive
        stranger.signal(signal.SIGKILL)
        stranger.sweep()
        assert child.alive
    else:
        assert grandchild not in [process.pid for process in stranger.members()]
    children.stop([(child, 5.0)])


def test_a_command_does_not_begin_before_its_id_is_noted(tmp_path: Path) -> None:
    marker = tmp_path / "begun"

    def note(child: Child) -> None:
        time.sleep(0.3)
        assert not marker.exists()

    child = children.spawn(
        ["touch", str(marker)],
        environment={"MSM_HOME": str(tmp_path), "PATH": os.defpath},
        folder=tmp_path,
        log=tmp_path / "log",
        note=note,
    )
    while child.alive:
        children.reap()
    assert marker.exists()


def test_a_starter_killed_before_it_noted_the_id_leaves_no_process(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from services.stack import children\n"
        f"home = Path({str(tmp_path)!r})\n"
        "def note(child):\n"
        "    print(child.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "children.spawn(['sleep', '600'], environment={'MSM_HOME': str(home), 'PATH': os.defpath}, "
        "folder=home, log=home / 'log', note=note)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    limit = time.monotonic() + 5
    while runs(pid):
        assert time.monotonic() < limit
        time.sleep(0.02)
