"""Which headers go through, and in which media type an answer of ours is written."""

from __future__ import annotations

import re
from collections.abc import Iterable

Raw = list[tuple[bytes, bytes]]
"""Headers as ASGI has them: names in lower case, order and repetitions kept."""

_HOP_BY_HOP = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection",
        b"te", b"trailer", b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip
"""RFC 9110, 7.6.1: they concern one connection, not the message."""
_OURS = frozenset({b"host", b"expect"})
"""Said anew to the node: who is asked; that the body may come was answered here."""
_BODY = frozenset({b"content-length", b"content-type", b"content-encoding", b"accept", b"accept-encoding"})
_MOST_OF_A_WARNING = 200
"""Characters: names in it may be a caller's own."""
_COMPATIBLE = re.compile(rb"application/vnd\.elasticsearch\+[a-z-]+;\s*compatible-with=(\d+)", re.IGNORECASE)


def forwarded(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """What the node gets of a request's headers.

    Raises:
        UnicodeDecodeError: a value is not UTF-8, and so cannot be said again byte for byte.
    """
    kept = list(headers)
    dropped = _HOP_BY_HOP | _OURS | _named_by_connection(kept)
    return [(name.decode(), value.decode()) for name, value in kept if name not in dropped]


def returned(headers: Iterable[tuple[bytes, bytes]]) -> Raw:
    """What the client gets of an answer's headers."""
    kept = [(name.lower(), value) for name, value in headers]
    dropped = _HOP_BY_HOP | _named_by_connection(kept)
    return [(name, value) for name, value in kept if name not in dropped]


def of_caller(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Who asks and under which id, for searches of ours in the caller's name: all but what tells of a body.

    Raises:
        UnicodeDecodeError: as `forwarded`.
    """
    return {name: value for name, value in forwarded(headers) if name.encode() not in _BODY}


def first(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    """The first value of a header, empty where there is none."""
    return next((value for key, value in headers if key == name), b"")


def media_type(headers: Iterable[tuple[bytes, bytes]], kind: str = "json") -> str:
    """JSON as the caller wants it called: vendored with its version where it said so.

    Args:
        headers: Of the request; `accept` counts before `content-type`.
        kind: `json`, or `x-ndjson` for a body of ours.
    """
    given = dict(reversed(list(headers)))
    for name in (b"accept", b"content-type"):
        if found := _COMPATIBLE.search(given.get(name, b"")):
            return f"application/vnd.elasticsearch+{kind};compatible-with={found[1].decode()}"
    return f"application/{kind}"


def _named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    return frozenset(
        word.strip().lower() for name, value in headers if name == b"connection" for word in value.split(b",")
    )


def answer(content_type: str, length: int) -> Raw:
    """The headers of an answer of ours; clients look for the product's name."""
    return [
        (b"content-type", content_type.encode()),
        (b"content-length", str(length).encode()),
        (b"x-elastic-product", b"Elasticsearch"),
    ]


def warning(entry: str) -> tuple[bytes, bytes]:
    """What is missing from an answer, as a `Warning` header (RFC 7234, 5.5), whatever is in it."""
    said = "".join(letter if letter.isprintable() else " " for letter in entry[:_MOST_OF_A_WARNING])
    quoted = said.replace("\\", "\\\\").replace('"', '\\"')
    return b"warning", f'299 msmctl "degraded: {quoted}"'.encode()
