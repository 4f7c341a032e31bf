"""Which requests may carry a question for us: told from method and path alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast
from urllib.parse import unquote

Kind = Literal["_search", "_msearch", "_async_search"]
_KINDS = frozenset({b"_search", b"_msearch", b"_async_search"})


@dataclass(frozen=True)
class Target:
    """Where a search goes.

    Attributes:
        kind: Last segment of the path.
        index: What stands before it, decoded; None: nothing.
    """

    kind: Kind
    index: str | None


def of(method: str, path: bytes) -> Target | None:
    """The target of `/_search`, `/<index>/_search` and their like; None for all else."""
    if method not in ("GET", "POST"):
        return None
    segments = [segment for segment in path.split(b"/") if segment]
    if not 1 <= len(segments) <= 2 or segments[-1] not in _KINDS:
        return None
    index = unquote(segments[0].decode("ascii", "replace")) if len(segments) == 2 else None
    return Target(cast(Kind, segments[-1].decode()), index)
