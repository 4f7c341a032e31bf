"""Sessions stand back from the cores, and so do those that they start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

OURS = Path("/proc/self/autogroup")
STARTS = "subprocess.Popen(['sleep', '600'], start_new_session=True)"


def told(code: str) -> list[str]:
    """What code prints in a session of its own, where `of(child)` is a child's place, which is ended."""
    begin = (
        "import os, subprocess; from services.sessions import stand_alike, stand_back\n"
        "def of(child):\n"
        "    said = open(f'/proc/{child.pid}/autogroup').read().split()[-1]\n"
        "    child.kill(); child.wait(); return said\n"
    )
    command = [sys.executable, "-c", begin + code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, start_new_session=True)
    return done.stdout.split()


# Empty where sessions are not grouped.
@pytest.mark.skipif(not OURS.exists() or not OURS.read_text(), reason="the kernel does not group sessions")
def test_a_session_stands_back_and_what_it_starts_does_where_told() -> None:
    code = (
        f"one = {STARTS}; stand_back(one.pid, 0); print(of(one))\n"
        f"one = {STARTS}; stand_back(one.pid, 7); print(of(one))\n"
        f"stand_back(os.getpid(), 5)\n"
        f"print(of({STARTS}))\n"
        f"one = {STARTS}; stand_alike(one.pid); print(of(one))\n"
    )
    assert told(code) == ["0", "7", "0", "5"]


def test_a_process_that_is_gone_is_nobody_s_fault() -> None:
    assert told(f"one = {STARTS}; one.kill(); one.wait(); stand_alike(one.pid); stand_back(one.pid, 7)") == []
