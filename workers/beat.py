"""A process's sign of life for the stack and for container health checks: a file that it touches.

MSM_HEARTBEAT names the file; without it nothing is written. Ready means touched within 15 seconds.
"""

from __future__ import annotations

import os
from pathlib import Path

from services.stack.heartbeat import VARIABLE

PERIOD = 3.0


def beat() -> None:
    """Touch the file."""
    name = os.environ.get(VARIABLE)
    if name:
        Path(name).touch()
