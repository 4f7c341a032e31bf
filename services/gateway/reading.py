"""The body of a search: read, unpacked and parsed, as far as the search may hold what comes of it."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from services.gateway.claim import LITTLE, Claim
from services.gateway.exchange import Exchange
from services.gateway.native import refused

LONGEST = 32 << 20
"""Bytes of a body that is looked at, packed and unpacked; a longer one goes to the node as it is."""
_SECONDS = 30.0
"""For a body to arrive."""
_OF_TEXT, _OF_A_VALUE = 4, 64
"""Bytes of memory for each byte of a JSON text, and for each value in it."""


@dataclass
class Body:
    """A body as it came.

    Attributes:
        pieces: What was read of it.
        whole: Nothing follows them.
    """

    pieces: list[bytes] = field(default_factory=list)
    whole: bool = False

    async def read(self, exchange: Exchange, claim: Claim) -> bytes | None:
        """All of it, unpacked; None where it is longer than is looked at, or broken.

        Raises:
            Stranger, Overloaded: as `Claim.take`. Refused: also, if it does not arrive in time.
        """
        size = 0
        async for piece in _arriving(exchange):
            self.pieces.append(piece)
            size += len(piece)
            if size > LONGEST:
                return None
            await claim.take(len(piece))
        self.whole = True
        self.pieces = [b"".join(self.pieces)]
        return await unpacked(self.pieces[0], exchange.header(b"content-encoding"), claim)


async def unpacked(raw: bytes, encoding: bytes, claim: Claim) -> bytes | None:
    """A body as it was before `Content-Encoding`; None where it is longer than is looked at, or broken.

    Raises:
        Stranger, Overloaded: as `Claim.take`.
    """
    if encoding in (b"", b"identity"):
        return raw
    if encoding not in (b"gzip", b"deflate"):
        return None
    packed = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        body = packed.decompress(raw, LITTLE)
        if not packed.eof:
            await claim.known()
            body += packed.decompress(packed.unconsumed_tail, LONGEST - len(body))
    except zlib.error:
        return None
    await claim.take(len(body))
    return body if packed.eof else None


def weight(raw: bytes) -> int:
    """Bytes that a JSON text holds at most when it is parsed: each value follows one of the marks."""
    return _OF_TEXT * len(raw) + _OF_A_VALUE * sum(raw.count(mark) for mark in (b",", b":", b"[", b"{"))


async def _arriving(exchange: Exchange) -> AsyncIterator[bytes]:
    """Pieces of a body; only the time until they come counts.

    Raises:
        Refused: the last one does not come in time.
    """
    clock, left = asyncio.get_running_loop().time, _SECONDS
    pieces = exchange.chunks()
    while True:
        began = clock()
        try:
            async with asyncio.timeout(left):
                piece = await anext(pieces, None)
        except TimeoutError:
            reason = f"the body of the search did not arrive within {_SECONDS:g} s"
            raise refused(408, "timeout_exception", reason) from None
        if piece is None:
            return
        left -= clock() - began
        yield piece
