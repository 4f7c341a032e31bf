"""Answers in the node's own form, so that its clients understand them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from elasticsearch import ApiError

from services.errors import (
    AuthError,
    Conflict,
    InputError,
    MsmError,
    NotFound,
    Overloaded,
    Unavailable,
    UsageError,
)
from services.gateway import json_text
from services.search import failures


@dataclass(frozen=True)
class Answer:
    """An answer of ours.

    Attributes:
        status: HTTP status.
        body: JSON value.
        warnings: What the caller should know, as `Warning` headers.
    """

    status: int
    body: Any
    warnings: tuple[str, ...] = ()

    def encoded(self, *, pretty: bool = False) -> bytes:
        """The body as JSON."""
        return json_text.write(self.body, pretty=pretty)


class Refused(Exception):
    """A request that is answered with an error of the node's form.

    Args:
        status: HTTP status.
        body: `error` with its root cause, and `status`.
    """

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body

    @property
    def answer(self) -> Answer:
        """The same as an answer."""
        return Answer(self.status, self.body)


def refused(status: int, kind: str, reason: str) -> Refused:
    """An error of our own.

    Args:
        status: HTTP status.
        kind: Elasticsearch's name for it, such as `illegal_argument_exception`.
        reason: What is wrong and what to do, in one line.
    """
    cause = {"type": kind, "reason": reason}
    return Refused(status, {"error": {"root_cause": [cause], **cause}, "status": status})


def bad(reason: str) -> Refused:
    """A request that says what cannot be done."""
    return refused(400, "illegal_argument_exception", reason)


def malformed(reason: str) -> Refused:
    """A body of the wrong shape."""
    return refused(400, "parsing_exception", reason)


def unreachable(reason: str) -> Refused:
    """Elasticsearch does not answer."""
    return refused(503, "node_not_connected_exception", f"Elasticsearch cannot be reached: {reason}")


_STATUS: tuple[tuple[type[MsmError], int, str], ...] = (
    (Overloaded, 429, "es_rejected_execution_exception"),
    (Unavailable, 503, "no_shard_available_action_exception"),
    (NotFound, 404, "resource_not_found_exception"),
    (AuthError, 403, "security_exception"),
    (Conflict, 409, "illegal_state_exception"),
    (UsageError, 400, "illegal_argument_exception"),
    (InputError, 400, "illegal_argument_exception"),
    (MsmError, 503, "status_exception"),
)


def natural(error: MsmError) -> Refused:
    """An error of ours in the node's form; in its own words where it said them."""
    cause = error.__cause__
    if isinstance(cause, failures.Refused):
        return Refused(int(cause.item.get("status", 500)), cause.item)
    if isinstance(cause, ApiError):
        return Refused(cause.status_code, cause.body)
    status, kind = next((status, kind) for of, status, kind in _STATUS if isinstance(error, of))
    return refused(status, kind, f"{error.message} ({error.hint})" if error.hint else error.message)
