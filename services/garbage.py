"""Less work for Python's collector of garbage in servers."""

from __future__ import annotations

import gc

THRESHOLD = 20_000
"""New containers between two looks: one answer of Elasticsearch has thousands, none of them in a cycle."""


def set_aside() -> None:
    """Let the collector look no more at what is there now, and seldom at what is new.

    For a server at its start. A full collection looks at every object: those that imports made take a tenth
    of a second and more, again and again, in which nobody is answered. And a look at every 700th new object,
    as Python comes, takes half of the time in which an answer with thousands of hits is read. Done once in a
    process.
    """
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()
        gc.set_threshold(THRESHOLD)
