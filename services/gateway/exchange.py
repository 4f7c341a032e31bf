"""One request and its answer, as ASGI hands them over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, cast

from services.gateway.headers import Raw, first

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Left(ConnectionError):
    """The client went away in the middle of its body."""


class Exchange:
    """A request under way. When the client goes away, the task that made this object is cancelled.

    Attributes:
        method: As it was sent.
        path: Percent-encoded, byte for byte.
        query: What follows the `?`, byte for byte.
        headers: Names in lower case.
        gone: The client went away before its answer was complete.
        answering: The answer has begun.
    """

    def __init__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: bytes = scope["raw_path"]
        self.query: bytes = scope["query_string"]
        self.headers = cast(Raw, scope["headers"])
        self.gone = False
        self.answering = False
        self._receive = receive
        self._send = send
        self._task = asyncio.current_task()
        self._watcher: asyncio.Task[None] | None = None
        self._ended = False
        self._answered = False

    @property
    def length(self) -> int | None:
        """Bytes of the body as announced; None: chunked, 0: none."""
        if self.header(b"transfer-encoding"):
            return None
        return int(self.header(b"content-length") or 0)

    def header(self, name: bytes) -> bytes:
        """The first value of a header, empty where there is none."""
        return first(self.headers, name)

    # -- the request -------------------------------------------------------------------------------

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes; asked again, what was not read yet.

        Raises:
            Left: the client goes away before its end.
        """
        while not self._ended:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._leave()
                raise Left(f"{self.method} {self.path!r}: the client went away in the middle of its body")
            if not message.get("more_body", False):
                self._ended = True
                self._watcher = asyncio.create_task(self._watch())
            if message.get("body"):
                yield message["body"]

    def close(self) -> None:
        """Watch the client no longer."""
        if self._watcher:
            self._watcher.cancel()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._leave()

    def _leave(self) -> None:
        # A server also says "disconnect" once the answer is complete.
        if not self._answered and self._task:
            self.gone = True
            self._task.cancel()

    # -- the answer --------------------------------------------------------------------------------

    async def begin(self, status: int, headers: Raw) -> None:
        """Status and headers."""
        self.answering = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, body: bytes, *, more: bool) -> None:
        """A piece of the body; the last one with `more` false."""
        self._answered = not more
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def answer(self, status: int, headers: Raw, body: bytes) -> None:
        """A whole answer at once."""
        await self.begin(status, headers)
        await self.write(b"" if self.method == "HEAD" else body, more=False)
