"""What the log of searches says of a search that was not answered."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from services.api.keys.key import Key
from services.api.search import search
from services.errors import NotFound, Unavailable
from services.search.request import SearchRequest
from services.searches.record import SearchRecord

KEY = Key(id="0" * 12, hash="", name="shop", scopes=("search",), created=datetime.now(UTC))


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Unavailable("away"), 503, "unavailable"),
        (NotFound("none"), 404, "not_found"),
        (KeyError("a defect"), 500, "failed"),
        (asyncio.CancelledError(), 499, "left"),
    ],
)
def test_a_failure_is_logged_as_it_is_answered_and_only_who_left_has_left(
    error: BaseException, status: int, code: str
) -> None:
    class Engine:
        async def search(self, *_: Any) -> None:
            raise error

    logged: list[SearchRecord] = []
    service: Any = SimpleNamespace(engine=Engine(), log=SimpleNamespace(record=logged.append))
    request: Any = SimpleNamespace(state=SimpleNamespace(received=time.monotonic(), request_id="r1"))

    async def ask() -> None:
        await search(request, service, KEY, "squad", SearchRequest(query="q"))

    with pytest.raises(type(error)):
        asyncio.run(ask())
    (record,) = logged
    assert (record.status, record.error, record.user) == (status, code, "shop")
