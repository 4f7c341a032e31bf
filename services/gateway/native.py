"""Errors in the node's own form, so that its clients understand them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson


class Refused(Exception):
    """A request that is answered with an error of the node's form.

    Args:
        status: HTTP status.
        kind: Elasticsearch's name for it, such as `illegal_argument_exception`.
        reason: What is wrong and what to do, in one line.
    """

    def __init__(self, status: int, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.kind = kind
        self.reason = reason

    @property
    def body(self) -> dict[str, Any]:
        """`error` with its root cause, and `status`."""
        cause = {"type": self.kind, "reason": self.reason}
        return {"error": {"root_cause": [cause], **cause}, "status": self.status}


def bad(reason: str) -> Refused:
    """A request that says what cannot be done."""
    return Refused(400, "illegal_argument_exception", reason)


def malformed(reason: str) -> Refused:
    """A body of the wrong shape."""
    return Refused(400, "parsing_exception", reason)


def unreachable(reason: str) -> Refused:
    """Elasticsearch does not answer."""
    return Refused(503, "node_not_connected_exception", f"Elasticsearch cannot be reached: {reason}")


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
    warnings: tuple[str, ...] = field(default=())

    def encoded(self, *, pretty: bool = False) -> bytes:
        """The body as JSON."""
        options = orjson.OPT_SERIALIZE_NUMPY | (orjson.OPT_INDENT_2 if pretty else 0)
        return orjson.dumps(self.body, option=options)
