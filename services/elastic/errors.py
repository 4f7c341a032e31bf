"""What the Elasticsearch client raises, as errors with a remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from elasticsearch import (
    ApiError,
    ConnectionTimeout,
    SerializationError,
    TransportError,
    UnsupportedProductError,
)

from services.errors import AuthError, Conflict, InputError, MsmError, NotFound, Unavailable

TRANSIENT = frozenset({408, 429, 502, 503, 504})
"""HTTP statuses that pass by themselves: the request may be sent again."""
_CLAUSES = re.compile(r"\btoo_many_(?:nested_)?clauses\b")
_PREVIEW = re.compile(r" Preview of field's value: '.*?'(?=$|, )", re.DOTALL)


class TooManyTerms(InputError):
    """A text has more distinct terms than the node takes in one query: its fault alone."""


def translate(error: Exception, doing: str = "Elasticsearch") -> MsmError:
    """The error of ours that says the same.

    Args:
        error: What the client raised. An `MsmError` is given back as it is.
        doing: What was being done, the head of the message.

    Returns:
        Unavailable (cannot be reached, overloaded, still starting), AuthError (401, 403),
        NotFound (404), Conflict (409), InputError (other 4xx), MsmError (the rest).
    """
    if isinstance(error, MsmError):
        return error
    if isinstance(error, UnsupportedProductError | SerializationError):
        return MsmError(f"{doing}: what answers there is not Elasticsearch: {error}", hint="check MSM_ES_URL")
    if isinstance(error, ApiError):
        return of_status(error.status_code, f"{doing}: {reason(error.body) or error.message}")
    if isinstance(error, ConnectionTimeout):
        return Unavailable(
            f"{doing}: no answer in time: {error.message}", hint="`msmctl status` shows its state"
        )
    if isinstance(error, TransportError):
        return Unavailable(
            f"{doing}: cannot be reached: {error.message}",
            hint="`msmctl up` starts the local stack; MSM_ES_URL names a running cluster",
        )
    return MsmError(f"{doing}: {type(error).__name__}: {error}")


def of_status(status: int, message: str) -> MsmError:
    """The error of ours for an HTTP status, of a whole answer or of one item of `_bulk` or `_msearch`."""
    if status == 401:
        return AuthError(message, hint="`msmctl credentials USER` shows where the password lies")
    if status == 403:
        return AuthError(message, hint="this user's role lacks the right (es_mappings/roles.yml)")
    if status == 404:
        return NotFound(message)
    if status == 409:
        return Conflict(message)
    if status in TRANSIENT:
        return Unavailable(f"{message} (HTTP {status})", hint="it passes by itself; try again")
    return InputError(message) if 400 <= status < 500 else MsmError(f"{message} (HTTP {status})")


def of_search(item: dict[str, Any], doing: str) -> MsmError:
    """The error of ours for an item of `_msearch` that has failed."""
    status, why = int(item.get("status", 500)), reason(item)
    if status == 400 and _CLAUSES.search(why):
        limit = re.search(r"maxClauseCount is set to (\d+)", why)
        most = f" ({int(limit[1]):,})" if limit else ""
        return TooManyTerms(
            f"{doing}: the text has more distinct terms than the node takes in one query{most}",
            hint="shorten the text, or give the node more memory: the limit follows its heap",
        )
    return of_status(status, f"{doing}: {why}")


def reason(body: Any) -> str:
    """The reasons in an error body, from the outermost to the root cause, as one line."""
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return str(error)[:500] if error else ""
    texts: list[str] = []
    failed = error.get("failed_shards") or []
    inner = failed[0].get("reason") if failed else None
    for cause in (error, inner, error.get("caused_by"), (inner or {}).get("caused_by")):
        if isinstance(cause, dict) and cause.get("reason"):
            text = f"{cause.get('type')}: {_PREVIEW.sub('', str(cause['reason']))}"[:400]
            if text not in texts:
                texts.append(text)
    return "; ".join(texts)[:1000]


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Client errors inside the block come out as ours, with `doing` at the head of the message."""
    try:
        yield
    except (ApiError, TransportError, UnsupportedProductError) as error:
        raise translate(error, doing) from error
