"""What a failure means for a chunk: wait, try again with smaller batches, or give up.

Policy (docs/reliability.md):
- transient (a service does not answer): wait with full jitter, does not count;
- resource (out of memory): half the batch, counts;
- lost (its worker vanished): counts a third. Only after two thirds of them does the batch shrink: smaller
  blocks give other last bits, and a worker that was merely killed is no reason for that;
- defect (any other exception, a soft time limit): counts;
- final (the input is wrong, a check failed): the chunk has failed, trying again would not help.
"""

from __future__ import annotations

import random
import traceback
from typing import Literal

from services.errors import MsmError, Unavailable
from services.jobs.records import Failure, Row, now

Blame = Literal["transient", "resource", "lost", "defect", "final"]

LOSSES_PER_TRY = 3
"""A vanished worker is mostly not the chunk's fault (a kill, a reboot), but a chunk may kill workers."""
_FIRST_WAIT = 2.0
_LONGEST_WAIT = 300.0
_SMALLEST_SCALE = 1 / 256
_DETAIL_CHARACTERS = 4000


class OverLimit(Exception):
    """A chunk took longer than its kind's soft limit."""


def blame(error: BaseException) -> Blame:
    """The class of a failure. Torch is not imported for it: its out-of-memory error is known by name."""
    if isinstance(error, Unavailable | ConnectionError | TimeoutError):
        return "transient"
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"MemoryError", "OutOfMemoryError"}:
        return "resource"
    return "final" if isinstance(error, MsmError) else "defect"


def describe(error: BaseException) -> Failure:
    """A failure for the ledger; defects carry the end of their traceback."""
    if isinstance(error, MsmError):
        return Failure(code=error.code, message=error.message, hint=error.hint)
    code = "timeout" if isinstance(error, OverLimit) else blame(error)
    detail = "".join(traceback.format_exception(error))[-_DETAIL_CHARACTERS:]
    return Failure(code=code, message=f"{type(error).__name__}: {error}"[:1000], detail=detail)


def after(row: Row, why: Blame, failure: Failure, max_attempts: int) -> Row:
    """The row after a failure: pending again under the next attempt, or failed. Pure but for the jitter."""
    tries = row.tries + (why in ("resource", "defect"))
    losses = row.losses + (why == "lost")
    transients = row.transients + 1 if why == "transient" else 0
    scale = (
        row.batch_scale / 2
        if why == "resource" or (why == "lost" and losses > 2 * max_attempts)
        else row.batch_scale
    )
    given_up = why == "final" or tries >= max_attempts or losses >= LOSSES_PER_TRY * max_attempts
    count = transients or tries if why != "lost" else 0
    return row.model_copy(
        update={
            "state": "failed" if given_up else "pending",
            "attempt": row.attempt + 1,
            "worker": "",
            "progress": 0,
            "tries": tries,
            "losses": losses,
            "transients": transients,
            "batch_scale": max(scale, _SMALLEST_SCALE),
            "wait": _jitter(count) if count else 0.0,
            "ended": now(),
            "error": failure.model_copy(update={"chunk": row.key}),
        }
    )


def _jitter(count: int) -> float:
    """Full jitter (Brooker, 'Exponential backoff and jitter'): anything up to the doubled bound."""
    return random.uniform(0, min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(count, 10)))  # noqa: S311 - no secret
