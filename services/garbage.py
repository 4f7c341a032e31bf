"""Less work for Python's collector of garbage in servers."""

from __future__ import annotations

import gc


def set_aside() -> None:
    """Let the collector look no more at what is there now; for a server that has imported what it needs.

    A full collection looks at every object: those that imports made take a tenth of a second and more, again
    and again, in which nobody is answered. Done once in a process.
    """
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()
