"""Bodies of searches: how far they are read, and for whom."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import orjson
import pytest

from services.body_room import BodyRoom
from services.gateway import reading
from services.gateway.app import Gateway, Parts
from services.gateway.claim import LITTLE, Claim, room
from services.gateway.exchange import Exchange
from services.gateway.looking import Looking
from services.gateway.native import Answer
from services.gateway.reading import LONGEST, unpacked, weight
from services.gateway.target import Target
from services.gateway.upstream import Upstream
from tests.unit.gateway_kit import SCOPE, Wire, piece

GZIP = (b"content-encoding", b"gzip")


class Relaying(Upstream):
    """A node to which bodies are passed on."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")
        self.passed: list[bytes] = []

    async def relay(self, exchange: Exchange, read: Sequence[bytes] = (), *, whole: bool = False) -> None:
        rest = [] if whole else [chunk async for chunk in exchange.chunks()]
        self.passed.append(b"".join([*read, *rest]))
        await exchange.answer(204, [], b"")


class Seeing:
    """Answers every body that it gets to see; knows whoever has a name."""

    def __init__(self) -> None:
        self.asked = 0
        self.seen: list[bytes] = []

    async def knows(self, exchange: Exchange) -> bool:
        self.asked += 1
        return exchange.header(b"authorization") != b""

    async def answer(self, exchange: Exchange, target: Target, body: bytes, claim: Claim) -> Answer:
        self.seen.append(body)
        return Answer(200, {})


class Site:
    """A gateway before such a node."""

    def __init__(self, shared: BodyRoom | None = None) -> None:
        self.node, self.looking = Relaying(), Seeing()
        self.room = shared or room()
        self.gateway = Gateway(self._parts(), self.room)

    @asynccontextmanager
    async def _parts(self) -> AsyncIterator[Parts]:
        async def unready() -> None:
            return None

        yield Parts(self.node, cast(Looking, self.looking), unready)

    async def serve(self, wire: Wire, *more: tuple[bytes, bytes], user: bytes = b"ada") -> Wire:
        self.gateway._parts = Parts(self.node, cast(Looking, self.looking), cast(Any, None))
        named = [(b"authorization", user)] if user else []
        scope = {**SCOPE, "headers": [*SCOPE["headers"], *more, *named]}
        await asyncio.wait_for(self.gateway(scope, wire.receive, wire.send), 10)
        return wire

    def ask(self, *pieces: bytes, more: Sequence[tuple[bytes, bytes]] = (), user: bytes = b"ada") -> Wire:
        wire = Wire([piece(body, more=n + 1 < len(pieces)) for n, body in enumerate(pieces)])
        return asyncio.run(self.serve(wire, *more, user=user))


A_LITTLE, MUCH = b" " * LITTLE, b" " * (LITTLE + 1)


def test_a_little_body_is_looked_at_whoever_sends_it() -> None:
    site = Site()
    assert site.ask(A_LITTLE, user=b"").status == 200
    assert (site.looking.seen, site.looking.asked) == ([A_LITTLE], 0)


def test_more_than_a_little_is_read_for_those_whom_the_node_knows() -> None:
    site = Site()
    assert site.ask(MUCH, MUCH).status == 200
    assert (site.looking.seen, site.looking.asked) == ([MUCH + MUCH], 1)


def test_a_strangers_long_body_streams_to_the_node_as_it_comes() -> None:
    site = Site()
    assert site.ask(A_LITTLE, b"{", b"}", user=b"").status == 204
    assert site.node.passed == [A_LITTLE + b"{}"]
    assert site.looking.seen == []


def test_more_than_a_little_is_unpacked_for_those_whom_the_node_knows() -> None:
    packed = gzip.compress(MUCH)
    site = Site()
    assert site.ask(packed, more=[GZIP]).status == 200
    assert site.looking.seen == [MUCH]
    assert site.ask(packed, more=[GZIP], user=b"").status == 204
    assert site.node.passed == [packed]


@pytest.mark.parametrize(
    ("raw", "encoding", "body"),
    [
        (gzip.compress(b"{}"), b"gzip", b"{}"),
        (gzip.compress(b" " * LONGEST), b"gzip", b" " * LONGEST),
        (gzip.compress(b" " * (LONGEST + 1)), b"gzip", None),
        (b"no gzip", b"gzip", None),
        (gzip.compress(b"{}")[:-4], b"gzip", None),
        (b"{}", b"br", None),
    ],
    ids=["packed", "longest", "too long", "no gzip", "cut off", "unknown"],
)
def test_packed_bodies_are_looked_at_up_to_a_limit(raw: bytes, encoding: bytes, body: bytes | None) -> None:
    async def main() -> bytes | None:
        with room().place() as place:
            return await unpacked(raw, encoding, Claim(place, _yes))

    assert asyncio.run(main()) == body


def test_a_body_longer_than_is_looked_at_goes_to_the_node_as_it_is() -> None:
    site = Site()
    assert site.ask(b" " * LONGEST, b" ", b"{}").status == 204
    assert site.node.passed == [b" " * LONGEST + b" {}"]


# -- room and time ---------------------------------------------------------------------------------


def test_strangers_who_send_no_further_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """They hold a little each, whatever they announce."""
    site = Site(BodyRoom(2 * len(MUCH), LITTLE))

    async def main() -> Wire:
        stalled = [
            asyncio.create_task(site.serve(Wire([piece(A_LITTLE, more=True)]), user=b"")) for _ in range(8)
        ]
        await asyncio.sleep(0)
        held = site.room.held
        answered = await site.serve(Wire([piece(MUCH, more=True), piece(b"{}", more=False)]))
        for task in stalled:
            task.cancel()
        await asyncio.gather(*stalled, return_exceptions=True)
        assert held == 0
        return answered

    assert asyncio.run(main()).status == 200


def test_a_search_that_does_not_arrive_is_a_408_and_gives_its_room_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "_SECONDS", 0.05)
    site = Site()
    wire = asyncio.run(site.serve(Wire([piece(MUCH, more=True)])))
    assert wire.status == 408
    assert json.loads(wire.answered[1]["body"])["error"]["type"] == "timeout_exception"
    assert site.room.held == 0


def test_without_room_a_long_search_is_a_429_in_the_nodes_form_and_a_little_one_is_answered() -> None:
    site = Site(BodyRoom(10, LITTLE))
    wire = site.ask(A_LITTLE, b"x" * 11)
    assert wire.status == 429
    assert json.loads(wire.answered[1]["body"])["error"]["type"] == "es_rejected_execution_exception"
    assert site.room.held == 0
    assert site.ask(A_LITTLE).status == 200


def test_a_body_that_unpacks_to_more_than_there_is_room_for_is_a_429() -> None:
    site = Site(BodyRoom(LITTLE, LITTLE))
    assert site.ask(gzip.compress(MUCH * 2), more=[GZIP]).status == 429
    assert site.room.held == 0


@pytest.mark.parametrize(
    "text",
    [
        b"[" + b"[]," * 50_000 + b"[]]",
        b"[" + b"{}," * 50_000 + b"{}]",
        b"[" + b'{"a":{}},' * 50_000 + b"{}]",
        b"[" + b"0.5," * 50_000 + b"1]",
        b'["' + b"a" * 50_000 + b'\\ud83d\\ude00"]',
    ],
    ids=["lists", "objects", "nested", "numbers", "wide text"],
)
def test_what_a_parsed_body_holds_is_known_beforehand(text: bytes) -> None:
    tracemalloc.start()
    parsed = orjson.loads(text)
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert parsed
    assert taken <= weight(text)


async def _yes() -> bool:
    return True
