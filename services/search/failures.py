"""What went wrong on the way to an answer, and what it is called in `degraded`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from elasticsearch import ConnectionTimeout

from services.deadline import Deadline
from services.elastic.errors import of_search
from services.errors import MsmError, Overloaded, TooLate, Unavailable, first_line, without_frames

Reason = Literal["timeout", "overloaded", "unavailable", "error", "partial"]
ENCODE = "encode:"
"""Begins the step of a leg whose query a model makes; the system's name follows."""
SEE_STATUS = "`msmctl status` shows the state of Elasticsearch"
_LOG = logging.getLogger(__name__)


class Refused(Exception):
    """An item of `_msearch` that failed: the node's own words, as the cause of an error of ours.

    Args:
        item: With `error` and `status`.
    """

    def __init__(self, item: dict[str, Any]) -> None:
        super().__init__(str(item.get("error")))
        self.item = item


@dataclass(frozen=True)
class Failure:
    """A step that did not do what it should.

    Attributes:
        step: A leg, `encode:<system>`, `choice`, `scores`, `rerank` or `fetch`.
        reason: See `Ranked.degraded`.
        error: What happened; for `partial`, what is missing.
    """

    step: str
    reason: Reason
    error: MsmError

    def __str__(self) -> str:
        return f"{self.step}:{self.reason}"

    @property
    def note(self) -> str:
        """The failure in words."""
        hint = f" ({self.error.hint})" if self.error.hint else ""
        return f"{self}: {self.error.message}{hint}"

    @classmethod
    def of(cls, step: str, error: Exception) -> Failure:
        """What an exception is called. One that is none of ours is a defect: it is logged, and told.

        From now on it is a value: it loses its tracebacks.
        """
        reason = _reason(error)
        if reason == "error" and not isinstance(error, MsmError):
            _LOG.error("%s failed: %r", step, error, exc_info=error)
        without_frames(error)
        if isinstance(error, MsmError):
            return cls(step, reason, error)
        said = f"{type(error).__name__}: {first_line(error)}"
        return cls(step, reason, MsmError("not in time" if reason == "timeout" else said))

    @classmethod
    def partial(cls, step: str, what: str) -> Failure:
        """There is a result, but not all of it."""
        return cls(step, "partial", MsmError(what))


def of_item(item: dict[str, Any], doing: str) -> MsmError:
    """The error of an item of `_msearch` that failed; the item is its cause."""
    error = of_search(item, doing)
    if int(item.get("status", 500)) == 429:
        error = Overloaded(error.message, hint=error.hint)
    error.__cause__ = Refused(item)
    return error


@asynccontextmanager
async def in_time(deadline: Deadline, doing: str) -> AsyncIterator[None]:
    """A word with Elasticsearch that nothing can be answered without: Unavailable where it comes too late."""
    try:
        async with asyncio.timeout(deadline.timeout):
            yield
    except TimeoutError:
        raise Unavailable(f"{doing}: no answer in time", hint=SEE_STATUS) from None


def nothing_left(failures: Sequence[Failure], *, alive: bool) -> MsmError | None:
    """The error of a search of which not one leg is left; None where it has an answer: nothing, and why.

    What the legs were asked in vain counts before vectors that were not there. Refusals are the question's
    own fault: the first is told, as is an Elasticsearch that takes no more for now. Else only its loss is an
    error, as Elasticsearch itself answers with what it has when time runs out.

    Args:
        failures: Of the legs, and of their queries.
        alive: Whether Elasticsearch has answered anybody of late (`pace.Pulse`).
    """
    of_legs = [failure for failure in failures if not failure.step.startswith(ENCODE)]
    if all(failure.reason == "error" for failure in of_legs or failures):
        return (of_legs or failures)[0].error
    reasons = {failure.reason for failure in of_legs}
    if reasons == {"overloaded"}:
        return of_legs[0].error
    if "unavailable" not in reasons and (alive or "timeout" not in reasons):
        return None
    told = "; ".join(dict.fromkeys(failure.note for failure in failures))
    return Unavailable(f"not one leg answered: {told}", hint=SEE_STATUS)


def _reason(error: Exception) -> Reason:
    if isinstance(error, TimeoutError | TooLate) or isinstance(error.__cause__, ConnectionTimeout):
        return "timeout"
    if isinstance(error, Overloaded):
        return "overloaded"
    return "unavailable" if isinstance(error, Unavailable) else "error"
