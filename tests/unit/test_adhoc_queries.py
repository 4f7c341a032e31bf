"""Ids by which texts are kept. What is kept, and how: tests/integration/test_api.py."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.deadline import Deadline
from services.errors import UsageError
from services.search.adhoc_queries import AdhocQueries

NOBODY: Any = None


def put(text: str, identity: str, days: int = 7) -> None:
    queries = AdhocQueries(NOBODY, NOBODY, NOBODY)
    asyncio.run(queries.put(NOBODY, text, Deadline(), identity=identity, days=days))


@pytest.mark.parametrize(
    ("text", "identity", "days", "message"),
    [
        ("dew", "a/b", 7, "id 'a/b': letters, digits"),
        ("dew", "x" * 129, 7, "128 at most"),
        ("dew", "adhoc-4b1f09c2a7d35e88", 7, "id 'adhoc-4b1f09c2a7d35e88' is not that of this text"),
        ("dew", "adhoc-", 7, "is not that of this text"),
        ("dew", "mine", 91, "days: 1 to 90"),
        (" ", "mine", 7, "the text is empty"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_anybody_is_asked(
    text: str, identity: str, days: int, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        put(text, identity, days)
