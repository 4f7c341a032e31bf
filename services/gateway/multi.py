"""`_msearch`: lines of ours are answered here, the others by the node in one request; the order is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

Clause = dict[str, Any]
MOST = 200
"""Searches of ours in one body; the node takes more of its own."""
_LOOKED_AT = 4_096
"""Searches of a body that is looked at."""


@dataclass(frozen=True)
class Line:
    """One search of an `_msearch`.

    Attributes:
        header, body: Parsed.
        index: That the header names, else that of the URL.
    """

    header: Clause
    body: Clause
    index: str | None


def split(raw: bytes) -> list[bytes] | None:
    """The searches of a body, two lines each, as they came.

    None: it is not in order, which the node shall say; or holds too many to be looked at.
    """
    if raw.count(b"\n") > 2 * _LOOKED_AT:
        return None
    lines = raw.split(b"\n")
    if lines.pop() or len(lines) % 2:
        return None
    return [head + b"\n" + body + b"\n" for head, body in zip(lines[::2], lines[1::2], strict=True)]


def parsed(raw: bytes, default: str | None) -> Line | None:
    """One search; None where it is none, which the node shall say.

    Args:
        raw: Its two lines.
        default: The index of the URL.
    """
    head, _, body = raw.partition(b"\n")
    try:
        header, given = orjson.loads(head or b"{}"), orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(header, dict) or not isinstance(given, dict):
        return None
    named = header.get("index") or header.get("indices") or default or []
    names = named if isinstance(named, list) else [named]
    if not all(isinstance(name, str) for name in names):
        return None
    return Line(header, given, ",".join(names) or None)
