"""What went wrong on the way to an answer, and what it is called in `degraded`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Reason = Literal["timeout", "overloaded", "unavailable", "error", "partial"]


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
        step: A leg, `encode:<system>`, `scores` or `rerank`.
        reason: See `Ranked.degraded`.
        error: What happened; None where there is a part of the result.
    """

    step: str
    reason: Reason
    error: Exception | None = None

    def __str__(self) -> str:
        return f"{self.step}:{self.reason}"
