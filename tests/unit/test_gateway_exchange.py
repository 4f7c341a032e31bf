"""One request and its answer, told message by message as a server tells them."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from services.gateway.app import Gateway, Parts
from services.gateway.exchange import Exchange, Message
from services.gateway.looking import Looking
from services.gateway.native import Answer
from services.gateway.room import Room
from services.gateway.upstream import Upstream

_CHUNKED = [(b"transfer-encoding", b"chunked")]
SCOPE = {
    "type": "http",
    "method": "POST",
    "raw_path": b"/i/_search",
    "query_string": b"",
    "headers": _CHUNKED,
}
LEFT: Message = {"type": "http.disconnect"}


def piece(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


class Wire:
    """A client that sends these messages and then waits for its answer."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.waiting = list(messages)
        self.answered: list[Message] = []

    async def receive(self) -> Message:
        if not self.waiting:
            await asyncio.Event().wait()
        return self.waiting.pop(0)

    async def send(self, message: Message) -> None:
        self.answered.append(message)

    @property
    def status(self) -> int | None:
        return self.answered[0]["status"] if self.answered else None


@asynccontextmanager
async def parts(looking: Any) -> AsyncIterator[Parts]:
    async def unready() -> None:
        return None

    yield Parts(Upstream("http://127.0.0.1:1"), looking, unready)


def served(
    wire: Wire, looking: Any, room: Room | None = None, more: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """A gateway's dealing with one client."""
    scope = {**SCOPE, "headers": [*_CHUNKED, *more]}

    async def main() -> None:
        gateway = Gateway(parts(looking), room)
        async with parts(looking) as gateway._parts:
            await asyncio.wait_for(gateway(scope, wire.receive, wire.send), 10)

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
        served(wire, object())
    assert wire.answered == []
    assert caplog.records == []


def test_a_defect_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        async def answer(self, *_: Any) -> None:
            raise KeyError("secret")

    wire = Wire([piece(b"{}", more=False)])
    served(wire, Broken())
    assert wire.status == 500
    assert b"secret" not in wire.answered[1]["body"]
    assert "secret" in caplog.text


class Answering:
    """Answers everything at once, and remembers how much room was left."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.left: list[int] = []

    async def answer(self, *_: Any) -> Answer:
        self.left.append(self.room.left)
        return Answer(200, {})


def test_a_body_takes_room_until_it_is_answered() -> None:
    room = Room(10)
    looking = Answering(room)
    for _ in range(3):
        wire = Wire([piece(b"123", more=True), piece(b"456", more=False)])
        served(wire, looking, room)
        assert wire.status == 200
    assert looking.left == [4, 4, 4]
    assert room.left == 10


def test_a_body_without_room_is_a_429_in_the_nodes_form_and_takes_none() -> None:
    room = Room(10)
    wire = Wire([piece(b"123456", more=True), piece(b"789ab", more=False)])
    served(wire, Answering(room), room)
    assert wire.status == 429
    assert json.loads(wire.answered[1]["body"])["error"]["type"] == "circuit_breaking_exception"
    assert room.left == 10


def test_a_body_that_unpacks_to_more_than_there_is_room_for_is_a_429() -> None:
    packed, room = gzip.compress(b" " * 100_000), Room(50_000)
    wire = Wire([piece(packed, more=False)])
    looking = Looking(cast(Any, None), cast(Any, None))
    served(wire, looking, room, [(b"content-encoding", b"gzip")])
    assert wire.status == 429
    assert room.left == 50_000


async def _all(exchange: Exchange) -> list[bytes]:
    return [chunk async for chunk in exchange.chunks()]
