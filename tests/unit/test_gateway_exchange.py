"""One request and its answer, told message by message as a server tells them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.gateway.app import Gateway, Parts
from services.gateway.exchange import Exchange, Message
from services.gateway.upstream import Upstream
from tests.unit.gateway_kit import SCOPE, Wire, piece

LEFT: Message = {"type": "http.disconnect"}


class Knowing:
    """Looks at bodies of anybody."""

    async def knows(self, exchange: Exchange) -> bool:
        return True


@asynccontextmanager
async def parts(looking: Any) -> AsyncIterator[Parts]:
    async def unready() -> None:
        return None

    yield Parts(Upstream("http://127.0.0.1:1"), looking, unready)


def served(wire: Wire, looking: Any) -> None:
    """A gateway's dealing with one client."""

    async def main() -> None:
        gateway = Gateway(parts(looking))
        async with parts(looking) as gateway._parts:
            await asyncio.wait_for(gateway(SCOPE, wire.receive, wire.send), 10)

    asyncio.run(main())


def test_a_body_that_was_read_to_its_end_has_nothing_more() -> None:
    wire = Wire([piece(b"a", more=True), piece(b"b", more=False)])

    async def main() -> tuple[list[bytes], list[bytes]]:
        exchange = Exchange(SCOPE, wire.receive, wire.send)
        first = []
        async for chunk in exchange.chunks():  # left at the last piece, as for a body that grew too long
            first.append(chunk)
            if chunk == b"b":
                break
        rest = await asyncio.wait_for(_all(exchange), 10)
        exchange.close()
        return first, rest

    assert asyncio.run(main()) == ([b"a", b"b"], [])


def test_a_body_that_was_left_in_the_middle_goes_on_there() -> None:
    wire = Wire([piece(b"a", more=True), piece(b"b", more=False)])

    async def main() -> list[bytes]:
        exchange = Exchange(SCOPE, wire.receive, wire.send)
        async for _ in exchange.chunks():
            break
        rest = await _all(exchange)
        exchange.close()
        return rest

    assert asyncio.run(main()) == [b"b"]


def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_defect(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wire = Wire([piece(b"{", more=True), LEFT])
    with caplog.at_level(logging.WARNING), pytest.raises(asyncio.CancelledError):
        served(wire, Knowing())
    assert wire.answered == []
    assert caplog.records == []


def test_a_defect_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Knowing):
        async def answer(self, *_: Any) -> None:
            raise KeyError("secret")

    wire = Wire([piece(b"{}", more=False)])
    served(wire, Broken())
    assert wire.status == 500
    assert b"secret" not in wire.answered[1]["body"]
    assert "secret" in caplog.text


async def _all(exchange: Exchange) -> list[bytes]:
    return [chunk async for chunk in exchange.chunks()]
