"""The names of a collection's indices: `<prefix>-<c>-{passages,queries,negatives}-vN`, and their aliases."""

from __future__ import annotations

import re
from typing import Literal, cast

from services.errors import UsageError
from services.settings import Settings

Content = Literal["passages", "queries", "negatives"]


def passages_index(settings: Settings, collection: str, n: int) -> str:
    """The passages of version n."""
    return settings.index(collection, "passages", f"v{n}")


def queries_index(settings: Settings, collection: str, n: int) -> str:
    """The queries of version n."""
    return settings.index(collection, "queries", f"v{n}")


def passages_alias(settings: Settings, collection: str) -> str:
    """What readers ask: the passages of the served version."""
    return settings.index(collection)


def queries_alias(settings: Settings, collection: str) -> str:
    """The queries of the served version; a stored query vector is found there by its qid."""
    return settings.index(collection, "queries")


def adhoc_index(settings: Settings, collection: str) -> str:
    """Queries that somebody typed, kept for a while."""
    return settings.index(collection, "adhoc")


def negatives_index(settings: Settings, collection: str, n: int) -> str:
    """Version n of the published negatives."""
    return settings.index(collection, "negatives", f"v{n}")


def negatives_alias(settings: Settings, collection: str) -> str:
    """What people ask in Kibana: the newest published negatives."""
    return settings.index(collection, "negatives")


def parse(settings: Settings, name: str) -> tuple[str, Content, int] | None:
    """Collection, content and version number of a concrete index; None for other names."""
    found = re.fullmatch(rf"{re.escape(settings.prefix)}-(.+)-(passages|queries|negatives)-v([1-9]\d*)", name)
    return (found[1], cast(Content, found[2]), int(found[3])) if found else None


def version_number(text: str) -> int:
    """The number in `3`, `v3` or a concrete index name.

    Raises:
        UsageError: it is none of these.
    """
    found = re.fullmatch(r"(?:.+-)?v?([1-9]\d{0,8})", text)
    if not found:
        raise UsageError(
            f"'{text}' is no index version", hint="write a number such as 3 or v3; see `msmctl index ls`"
        )
    return int(found[1])
