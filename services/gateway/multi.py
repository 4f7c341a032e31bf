"""`_msearch`: lines of ours are answered here, the others by the node in one request; the order is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

Clause = dict[str, Any]
MOST = 200
"""Searches of ours in one body; the node takes more of its own."""


@dataclass(frozen=True)
class Line:
    """One search of an `_msearch`.

    Attributes:
        raw: Its two lines as they came.
        header, body: Parsed; None where they are no JSON.
    """

    raw: bytes
    header: Any
    body: Any


def split(raw: bytes) -> list[Line] | None:
    """The searches of a body; None where it is not in order, which the node shall say."""
    lines = raw.split(b"\n")
    if lines.pop() or len(lines) % 2:
        return None
    return [
        Line(head + b"\n" + body + b"\n", _parsed(head or b"{}"), _parsed(body))
        for head, body in zip(lines[::2], lines[1::2], strict=True)
    ]


def index_of(header: Clause, default: str | None) -> str | None:
    """The index that a header line names, else that of the URL."""
    named = header.get("index") or header.get("indices") or default
    return ",".join(map(str, named)) if isinstance(named, list) else str(named) if named else None


def _parsed(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
