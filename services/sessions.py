"""Which session of this machine has the cores first.

Linux shares the cores between sessions, each with a value like `nice` of its own; priorities of processes and
threads count within a session only (sched(7), "The autogroup feature"). Where there is no such feature, it is
switched off, or the session is in a control group with a share of its own, priorities are what counts.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path


def stand_back(leader: int, nice: int) -> None:
    """Let a session have the cores after others.

    Args:
        leader: The session's first process; what it starts from now on has its priority.
        nice: 0: as all others.
    """
    if not nice:
        return
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, leader, min(19, os.getpriority(os.PRIO_PROCESS, 0) + nice))
    _put(leader, nice)


def stand_alike(leader: int) -> None:
    """Let a session that this process started have the cores as its own has them."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        _put(leader, int(Path("/proc/self/autogroup").read_text().split()[-1]))


def _put(leader: int, nice: int) -> None:
    for _ in range(20):
        try:
            Path(f"/proc/{leader}/autogroup").write_text(str(nice))
            return
        except BlockingIOError:  # the kernel takes one in a tenth of a second, unless it comes from root
            time.sleep(0.05)
        except OSError:
            return
