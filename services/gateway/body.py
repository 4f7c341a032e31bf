"""The body of a search that we answer: its keys sorted by who needs them, and none passed over in silence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

from services.gateway.native import bad, malformed
from services.gateway.params import Params

Clause = dict[str, Any]

_FETCHED = frozenset(
    {
        "_source", "fields", "docvalue_fields", "stored_fields", "script_fields", "highlight", "version",
        "seq_no_primary_term",
    }
)  # fmt: skip
"""For the final hits only."""
_COUNTED = frozenset({"aggs", "aggregations", "track_total_hits"})
"""For all matches."""
_WITHOUT_EFFECT = frozenset({"track_scores", "stats"})
_UNITS = {"nanos": 1e-6, "micros": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4, "h": 3.6e6, "d": 8.64e7}
_WHOLE = re.compile(r"[0-9]{1,18}")
_TIME = re.compile(r"(\d+(?:\.\d+)?)(nanos|micros|ms|s|m|h|d)")
MAX_WINDOW = 10_000
"""Hits that can be paged through (index.max_result_window)."""


@dataclass(frozen=True)
class SearchBody:
    """A search as it was sent, URL and body together.

    Attributes:
        query: None: absent.
        post_filter: None: absent.
        start, size: Of the page.
        fetch: What of the final hits is wanted.
        count: What of all matches is wanted: aggregations, `track_total_hits`.
        timeout_ms: None: absent.
        own: The keys that the caller of `read` wants for itself.
    """

    query: Clause | None
    post_filter: Clause | None
    start: int
    size: int
    fetch: Clause
    count: Clause
    timeout_ms: float | None
    own: Clause


def read(given: Any, params: Params, feature: str, own: frozenset[str] = frozenset()) -> SearchBody:
    """Sort a body's keys.

    Args:
        given: The parsed body.
        params: Of the URL.
        feature: What answers it, for messages: `ext.msmctl`.
        own: Further keys that the feature understands.

    Raises:
        Refused: what it holds cannot be followed by an answer of ours (every such key is named), or has the
            wrong type, or is nested deeper than can be written again.
    """
    if not isinstance(given, dict):
        raise malformed(f"a search is a JSON object, not {_type(given)}")
    body = {**given, **params.body}
    _writable(body, feature)
    known = _FETCHED | _COUNTED | _WITHOUT_EFFECT | own | {"query", "post_filter", "from", "size", "timeout"}
    said = {key: value for key, value in body.items() if value not in (None, False, [], {})}
    refused = [key for key in said if key not in known and not (key == "sort" and by_score(said[key]))]
    if refused := refused + list(params.refused):
        names = ", ".join(f"[{key}]" for key in sorted(refused))
        raise bad(f"[{feature}] cannot be used with {names}: hits come in the order of their final score")
    start, size = number(body, "from", 0, 0), number(body, "size", 10, 0)
    if start + size > MAX_WINDOW:
        raise bad(f"Result window is too large, from + size must be less than or equal to: [{MAX_WINDOW}]")
    return SearchBody(
        query=clause(body, "query"),
        post_filter=clause(body, "post_filter"),
        start=start,
        size=size,
        fetch={key: body[key] for key in _FETCHED if key in body},
        count={key: body[key] for key in _COUNTED if key in body},
        timeout_ms=_milliseconds(body.get("timeout")),
        own={key: body[key] for key in own if key in body},
    )


def _writable(body: Clause, feature: str) -> None:
    try:
        orjson.dumps(body)
    except orjson.JSONEncodeError as error:
        raise bad(f"[{feature}] the search cannot be passed on to the node: {error}") from None


def by_score(sort: Any) -> bool:
    """Whether a sort says only what holds anyway: best score first."""
    keys = sort if isinstance(sort, list) else [sort]
    descending: list[Any] = [
        "_score", "_score:desc", {"_score": "desc"}, {"_score": {"order": "desc"}}, {"_score": {}},
    ]  # fmt: skip
    return bool(keys) and keys[0] in descending and len(keys) == 1


def clause(body: Clause, key: str) -> Clause | None:
    """A query of the body; None where there is none, or an empty one.

    Raises:
        Refused: it is no object.
    """
    value = body.get(key)
    if value is not None and not isinstance(value, dict):
        raise malformed(f"[{key}] is a query object, not {_type(value)}")
    return value or None


def number(body: Clause, key: str, default: int, least: int) -> int:
    """A whole number of the body.

    Raises:
        Refused: it is none, or too small.
    """
    value = body.get(key)
    if value is None:
        return default
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise malformed(f"[{key}] is a whole number, not {_type(value)}")
    if value < least:
        raise bad(f"[{key}] parameter cannot be smaller than {least}, found [{value}]")
    return value


def real(body: Clause, key: str, default: float | None) -> float | None:
    """A finite number of the body.

    Raises:
        Refused: it is none.
    """
    value = body.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise malformed(f"[{key}] is a number, not {_type(value)}")
    return float(value)


def _milliseconds(value: Any) -> float | None:
    if value in (None, -1, "-1"):
        return None
    found = _TIME.fullmatch(value.lower()) if isinstance(value, str) else None
    if not found:
        raise bad(f"failed to parse [timeout] with value [{value}]: such as 500ms or 2s")
    return float(found[1]) * _UNITS[found[2]]


def _type(value: Any) -> str:
    return {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}.get(
        type(value), "a number"
    )
