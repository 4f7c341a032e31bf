"""What servers spare Python's collector."""

from __future__ import annotations

import subprocess
import sys


def test_what_is_there_is_set_aside_once() -> None:
    code = (
        "import gc; from services.garbage import THRESHOLD, set_aside\n"
        "set_aside(); first = gc.get_freeze_count(); kept = [[n] for n in range(1000)]; set_aside()\n"
        "print(first > 1000, gc.get_freeze_count() == first, gc.get_threshold()[0] == THRESHOLD > 700)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"] * 3
