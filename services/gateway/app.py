"""The gateway as an ASGI application: what it answers itself, and all the rest that goes through."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

from services.body_room import BodyRoom
from services.errors import Overloaded
from services.gateway import headers, target
from services.gateway.claim import Claim, Stranger, room
from services.gateway.exchange import Exchange, Left, Receive, Send
from services.gateway.looking import Looking
from services.gateway.native import Answer, Refused, natural, refused
from services.gateway.reading import LONGEST, Body
from services.gateway.target import Target
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
        shared: For searches that are looked at; None: as much as there is by default.
    """

    def __init__(self, running: AbstractAsyncContextManager[Parts], shared: BodyRoom | None = None) -> None:
        self._running = running
        self._room = shared or room()
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
        except Overloaded as error:
            await _say(exchange, natural(error).answer)
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
        with self._room.place() as place:
            claim, body = Claim(place, partial(looking.knows, exchange)), Body()
            answer = await _answer(looking, exchange, found, body, claim)
            if answer:
                await _say(exchange, answer)
            else:
                await upstream.relay(exchange, body.pieces, whole=body.whole)

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


async def _answer(
    looking: Looking, exchange: Exchange, found: Target, body: Body, claim: Claim
) -> Answer | None:
    """The answer to a search; None where the node shall have it as it came."""
    try:
        content = await body.read(exchange, claim)
        return None if content is None else await looking.answer(exchange, found, content, claim)
    except Stranger:
        return None


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
