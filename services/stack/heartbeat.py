"""Whether a process shows its sign of life: the file named by MSM_HEARTBEAT, touched by workers/beat.py.

Cheaper than asking Celery. The supervisor sets the variable for the local stack, docker-compose.yml for the
containers, whose health check is `python -m services.stack.heartbeat`.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

VARIABLE = "MSM_HEARTBEAT"
LONGEST_SILENCE = 15.0


def silence(path: Path, longest: float = LONGEST_SILENCE) -> str | None:
    """Why the process behind the file does not count as working, or None.

    Args:
        path: The file.
        longest: Seconds without a beat that are tolerated.
    """
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return "no heartbeat yet"
    return None if age < longest else f"no heartbeat for {age:.0f} s"


if __name__ == "__main__":
    sys.exit(silence(Path(os.environ.get(VARIABLE, "/nonexistent"))))
