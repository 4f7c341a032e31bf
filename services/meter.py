"""What a piece of work takes: seconds per unit, and memory at its peak."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

_FEW = 8
_SECONDS = 4.0


def pace(count: int, work: Callable[[int, int], float], seconds: float = _SECONDS) -> float:
    """Seconds per unit, from a few seconds of work.

    A few items are done first and do not count: whatever is done for the first time is slower. The same
    again says how many fit into the time, and these are measured.

    Args:
        count: Items there are to work on, at least 1.
        work: Does the items `lo <= n < hi`; returns the units that they were, such as tokens.
        seconds: How long to measure; a slow machine takes up to three times what `_FEW` items take.
    """
    few = min(_FEW, count)
    work(0, few)
    took, units = _timed(work, few)
    many = min(max(int(few * seconds / max(took, 1e-9)), few), count)
    if many > few:
        took, units = _timed(work, many)
    return took / max(units, 1e-9)


def _timed(work: Callable[[int, int], float], count: int) -> tuple[float, float]:
    began = time.perf_counter()
    units = work(0, count)
    return time.perf_counter() - began, units


class PeakMemory:
    """The most memory that this process, and an accelerator that it uses, has held since this was made."""

    def __init__(self) -> None:
        with suppress(OSError):  # Linux alone can forget an earlier peak, and only where /proc may be written
            Path("/proc/self/clear_refs").write_text("5")
        if cuda := _cuda():
            cuda.reset_peak_memory_stats()

    @property
    def bytes(self) -> int:
        """Of the process; where an earlier peak could not be forgotten, since it began."""
        with suppress(OSError):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) << 10
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak << 10

    @property
    def device_bytes(self) -> int | None:
        """Of the accelerator; None where none is used."""
        cuda = _cuda()
        return int(cuda.max_memory_allocated()) if cuda else None


def _cuda() -> Any:
    """torch.cuda where it is in use. torch is not imported for this."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None
