"""Work that stands back where others need the cores."""

from __future__ import annotations

import os
import sys
import threading

NICE = 10


def stand_back() -> None:
    """Give this thread, and those that it starts from now on, a low priority (on Linux: threads have one)."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICE)
