"""Find the bad rows of a batch: halve until a single row fails, set it aside, go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from services.errors import InputError
from services.jobs.kind import DeadRow

Row = TypeVar("Row")
Result = TypeVar("Result")


def bisect(rows: Sequence[Row], work: Callable[[Sequence[Row]], Result],
           name: Callable[[Row], str],
           bad: tuple[type[Exception], ...] = (InputError, ValueError)) -> tuple[list[Result], list[DeadRow]]:
    """Apply `work` to rows, as a whole where it can, without those that make it fail.

    Args:
        rows: At most a chunk's rows. One bad row costs about 2·log2(len(rows)) calls.
        work: Must have no effect that is not idempotent: parts of the rows come again.
        name: The pid or qid of a row.
        bad: What a bad row raises. Anything else (out of memory, a service away) is passed on.

    Returns:
        The results of the parts in the rows' order, and the dead rows with their reasons.
    """
    if not rows:
        return [], []
    try:
        return [work(rows)], []
    except bad as error:
        if len(rows) == 1:
            return [], [DeadRow(row=name(rows[0]), reason=f"{type(error).__name__}: {error}"[:1000])]
    middle = len(rows) // 2
    left, dead_left = bisect(rows[:middle], work, name, bad)
    right, dead_right = bisect(rows[middle:], work, name, bad)
    return left + right, dead_left + dead_right
