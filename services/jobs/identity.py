"""Who a process is, so that others on its machine can tell at once that it is gone.

A lease finds every lost worker, but only after it has run out. Where the observer shares the machine
(boot and pid namespace) with the lost process, asking the kernel is faster and just as sure.
"""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path
from typing import Literal

import psutil

_TOLERANCE = 10.0  # seconds: the start time is derived from the wall clock, which may be corrected


def me() -> str:
    """This process: `host/pid/start/machine`. Short enough to read in a table: `show` cuts it."""
    pid = os.getpid()
    return f"{socket.gethostname()}/{pid}/{psutil.Process(pid).create_time():.0f}/{_machine()}"


def show(identity: str) -> str:
    """`host/pid`, for people."""
    return "/".join(identity.split("/")[:2])


def is_gone(identity: str) -> bool:
    """Whether that process surely does not run any more; False where we cannot know."""
    return _look(identity) == "gone"


def is_running(identity: str) -> bool:
    """Whether that process surely runs; False where it is stopped, or where we cannot know."""
    return _look(identity) == "running"


def _look(identity: str) -> Literal["running", "stopped", "gone", "unknown"]:
    parts = identity.split("/")
    if len(parts) != 4 or parts[3] != _machine():
        return "unknown"
    try:
        process = psutil.Process(int(parts[1]))
        started, status = process.create_time(), process.status()
    except psutil.NoSuchProcess:
        return "gone"
    if status == psutil.STATUS_ZOMBIE or abs(started - float(parts[2])) > _TOLERANCE:
        return "gone"
    return "stopped" if status == psutil.STATUS_STOPPED else "running"


@cache
def _machine() -> str:
    """The boot and the pid namespace: pids mean the same only where both are equal."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()[:8]
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:  # not Linux
        return f"{socket.gethostname()}-{psutil.boot_time():.0f}"
    return f"{boot}-{namespace}"
