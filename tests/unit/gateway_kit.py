"""A gateway before an upstream that the test writes itself: for what a real node cannot be made to do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from aiohttp import web

from services.gateway.app import Gateway, Parts
from services.gateway.exchange import Message
from services.gateway.native import Refused
from services.gateway.upstream import Upstream

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Answered:
    """What came over the wire: status line and headers as they are, and the body."""

    head: bytes
    body: bytes

    @property
    def status(self) -> int:
        return int(self.head.split()[1])

    def headers(self, name: str) -> list[bytes]:
        lines = [line.partition(b": ") for line in self.head.split(b"\r\n")[1:]]
        return [value for key, _, value in lines if key.lower() == name.encode()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _ready() -> None:
    return None


@asynccontextmanager
async def _through(url: str) -> AsyncIterator[Parts]:
    async with Upstream(url) as upstream:
        yield Parts(upstream, None, _ready)


@asynccontextmanager
async def gateway(url: str) -> AsyncIterator[int]:
    """The port of a gateway before `url`."""
    port = free_port()
    config = uvicorn.Config(
        Gateway(_through(url)), port=port, http="httptools", ws="none", log_level="error",
        server_header=False, date_header=False, timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield port
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def before(handler: Handler) -> AsyncIterator[int]:
    """The port of a gateway before a server with one handler for everything."""
    runner = web.ServerRunner(web.Server(handler, auto_decompress=False))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    try:
        async with gateway(f"http://127.0.0.1:{port}") as facing:
            yield facing
    finally:
        await runner.cleanup()


async def send(port: int, request: bytes) -> Answered:
    """Bytes over a connection that the request closes; chunks are joined."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head.lower():
        body = dechunked(body)
    return Answered(head, body)


def dechunked(body: bytes) -> bytes:
    """The content of a chunked body; fails where its end is missing."""
    whole = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return whole
        whole, body = whole + body[:length], body[length + 2 :]


def reason(refused: pytest.ExceptionInfo[Refused]) -> str:
    """Of a 400 in the node's own form."""
    assert refused.value.status == 400
    error = refused.value.body["error"]
    assert error["root_cause"] == [{"type": error["type"], "reason": error["reason"]}]
    return str(error["reason"])


def nested(depth: int) -> dict[str, Any]:
    """A query so deep."""
    query: dict[str, Any] = {"match": {"text": "deep"}}
    for _ in range(depth):
        query = {"bool": {"must": [query]}}
    return query


SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "POST",
    "raw_path": b"/i/_search",
    "query_string": b"",
    "headers": [(b"transfer-encoding", b"chunked")],
}


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
