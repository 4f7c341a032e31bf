"""Reads a request's whole body within limits, and drops the request when its sender leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.errors import TooLarge, TooSlow
from services.api.limits import BODIES_BYTES, BODY_BYTES, BODY_SECONDS, SMALL_BODY
from services.api.metrics import Metrics
from services.api.problems import of_error
from services.body_room import BodyRoom, Place
from services.errors import MsmError


class WholeBody:
    """ASGI middleware. Once the body is there nothing but a disconnect can come: that ends the work.

    Args:
        app: Gets the whole body as one message.
        metrics: Counts those who left.
        admit: Raises unless the sender may send more than a small body.
        most: Bytes of a body.
        seconds: For a body to arrive.
        room: What the bodies of all requests share; None: room of its own.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        admit: Callable[[Request], Awaitable[None]],
        most: int = BODY_BYTES,
        seconds: float = BODY_SECONDS,
        room: BodyRoom | None = None,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._admit = admit
        self._most = most
        self._seconds = seconds
        self._room = room or BodyRoom(BODIES_BYTES, SMALL_BODY)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection's next request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._room.place() as place:
            try:
                body = await self._read(scope, receive, place)
            except MsmError as error:
                await of_error(error, scope["state"]["request_id"])(scope, receive, send)
                return
            if body is None:
                self._metrics.left.inc()
                return
            await self._answer(scope, body, receive, send)

    async def _read(self, scope: Scope, receive: Receive, place: Place) -> bytes | None:
        """The body; None where the sender left before its end.

        Raises:
            TooLarge, TooSlow, Overloaded: before more is read than may be.
            MsmError: the sender is not admitted.
        """
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > self._most:
            raise self._too_large()
        pieces, size = [], 0
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    piece = message.get("body", b"")
                    if size <= self._room.small < size + len(piece):
                        await self._admit(Request(scope))
                    pieces.append(piece)
                    size += len(piece)
                    if size > self._most:
                        raise self._too_large()
                    place.take(len(piece))
                    if not message.get("more_body", False):
                        return b"".join(pieces)
        except TimeoutError:
            raise TooSlow(f"the body did not arrive within {self._seconds:g} s") from None

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"the body is larger than {self._most / 2**20:g} MiB", hint="send it in several requests"
        )

    async def _answer(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Run the application until it is done or its sender has left."""
        waiting: asyncio.Queue[Message] = asyncio.Queue()
        waiting.put_nowait({"type": "http.request", "body": body, "more_body": False})
        answered = False

        async def sent(message: Message) -> None:
            nonlocal answered
            await send(message)
            answered = message["type"] == "http.response.body" and not message.get("more_body", False)

        work = asyncio.ensure_future(self._app(scope, waiting.get, sent))
        leaving = asyncio.ensure_future(receive())
        try:
            await asyncio.wait({work, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and not answered:
                self._metrics.left.inc()
                work.cancel()
            with suppress(asyncio.CancelledError):
                await work
        finally:
            work.cancel()
            leaving.cancel()
