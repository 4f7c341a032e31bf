"""The gateway as an ASGI application: what it answers itself, and all the rest that goes through."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from services.gateway import headers, target
from services.gateway.exchange import Exchange, Left, Receive, Send
from services.gateway.looking import LONGEST, Looking
from services.gateway.native import Answer, Refused, refused
from services.gateway.room import Room, Take
from services.gateway.upstream import Upstream

logger = logging.getLogger(__name__)

_READY = Answer(200, {"status": "ready"})
_DEFECT = refused(500, "msmctl_exception", "a defect of msmctl: the gateway's log tells more").answer
OWN = b"/_msmctl/"
"""Paths of the gateway itself; no index can have such a name."""


@dataclass(frozen=True)
class Parts:
    """What a gateway is made of.

    Attributes:
        upstream: The node.
        looking: Finds and answers searches of ours; None: everything goes through.
        unready: Why not to be asked now; None: it may.
    """

    upstream: Upstream
    looking: Looking | None
    unready: Callable[[], Awaitable[str | None]]


class Gateway:
    """Streams everything to the node and back but for searches of ours.

    Args:
        running: Makes the parts when the server starts, and ends them with it.
        room: For bodies that are looked at; None: as much as there is by default.
    """

    def __init__(self, running: AbstractAsyncContextManager[Parts], room: Room | None = None) -> None:
        self._running = running
        self._room = room or Room()
        self._parts: Parts

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One connection's event, as ASGI defines it."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        exchange = Exchange(scope, receive, send)
        try:
            await self._handle(exchange)
        except Refused as error:
            await _say(exchange, error.answer)
        except (Left, asyncio.CancelledError):
            if not exchange.gone:
                raise
        except Exception:
            logger.exception("%s %r", exchange.method, exchange.path)
            if exchange.answering:
                raise
            await _say(exchange, _DEFECT)
        finally:
            exchange.close()

    async def _handle(self, exchange: Exchange) -> None:
        if exchange.path.startswith(OWN):
            await _say(exchange, await self._own(exchange.path))
            return
        upstream, looking = self._parts.upstream, self._parts.looking
        found = target.of(exchange.method, exchange.path) if looking else None
        if looking is None or found is None or (exchange.length or 0) > LONGEST:
            await upstream.relay(exchange)
            return
        with self._room.share() as take:
            read, whole = await _read(exchange, take)
            answer = await looking.answer(exchange, found, b"".join(read), take) if whole else None
            if answer:
                await _say(exchange, answer)
            else:
                await upstream.relay(exchange, read, whole=whole)

    async def _own(self, path: bytes) -> Answer:
        if path == OWN + b"livez":
            return Answer(200, {"status": "alive"})
        if path == OWN + b"readyz":
            reason = await self._parts.unready()
            return Answer(503, {"status": "unavailable", "reasons": [reason]}) if reason else _READY
        raise refused(
            404, "resource_not_found_exception", f"the gateway has no {path.decode('ascii', 'replace')}"
        )

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self._running as self._parts:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


async def _read(exchange: Exchange, take: Take) -> tuple[list[bytes], bool]:
    """A body as far as it may be looked at, and whether that is all of it.

    Raises:
        Refused: there is no room for it.
    """
    pieces: list[bytes] = []
    size = 0
    async for piece in exchange.chunks():
        take(len(piece))
        pieces.append(piece)
        size += len(piece)
        if size > LONGEST:
            return pieces, False
    return pieces, True


async def _say(exchange: Exchange, answer: Answer) -> None:
    body = answer.encoded(pretty=_pretty(exchange.query))
    more = [headers.warning(entry) for entry in answer.warnings]
    if opaque := exchange.header(b"x-opaque-id"):
        more.append((b"x-opaque-id", opaque))
    kind = headers.media_type(exchange.headers)
    await exchange.answer(answer.status, headers.answer(kind, len(body)) + more, body)


def _pretty(query: bytes) -> bool:
    """Whether an answer shall be indented; `pretty=false` and no `pretty` say no."""
    return any(part in (b"pretty", b"pretty=", b"pretty=true") for part in query.split(b"&"))
