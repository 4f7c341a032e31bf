"""The gateway as an ASGI application: what it answers itself, and all the rest that goes through."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import MutableMapping
from typing import Any

from services.gateway import headers
from services.gateway.exchange import Exchange, Receive, Send
from services.gateway.native import Answer, Refused
from services.gateway.upstream import Upstream

logger = logging.getLogger(__name__)

OWN = b"/_msmctl/"
"""Paths of the gateway itself; no index can have such a name."""


class Gateway:
    """Streams everything to the node and back but for what `searches` answers.

    Args:
        upstream: The node.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One connection's event, as ASGI defines it."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        exchange = Exchange(scope, receive, send)
        try:
            await self._handle(exchange)
        except Refused as refused:
            await _say(exchange, Answer(refused.status, refused.body))
        except asyncio.CancelledError:
            if not exchange.gone:
                raise
        finally:
            exchange.close()

    async def _handle(self, exchange: Exchange) -> None:
        if exchange.path.startswith(OWN):
            await _say(exchange, self._own(exchange.path))
            return
        await self._upstream.relay(exchange)

    def _own(self, path: bytes) -> Answer:
        if path == OWN + b"livez":
            return Answer(200, {"status": "alive"})
        raise Refused(
            404, "resource_not_found_exception", f"the gateway has no {path.decode('ascii', 'replace')}"
        )

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self._upstream:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


async def _say(exchange: Exchange, answer: Answer) -> None:
    body = answer.encoded(pretty=b"pretty" in exchange.query)
    more = {}
    if opaque := exchange.header(b"x-opaque-id"):
        more["x-opaque-id"] = opaque.decode("latin-1")
    kind = headers.media_type(exchange.headers)
    await exchange.answer(answer.status, headers.answer(kind, len(body), more), body)
