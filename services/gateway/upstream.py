"""The node behind the gateway: requests go to it as they came, answers come back as they are."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Self
from urllib.parse import unquote_to_bytes

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from services.gateway.exchange import Exchange
from services.gateway.headers import forwarded, returned
from services.gateway.native import bad, unreachable

logger = logging.getLogger(__name__)

_CONNECT, _SILENT = 5.0, 3600.0
"""Seconds to connect, and of silence: a force-merge says nothing for long; clients have their own limits."""
_IDLE = 300.0
_SMALL = 1 << 18
"""Bytes of a body that is sent in one piece; a larger one is streamed."""
_HEADER = 1 << 16
"""Bytes of one header: the node's warnings are longer than aiohttp expects."""
_SEPARATOR = re.compile(rb"[/\\]")
_AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class Upstream:
    """Connections to one node or load balancer, kept alive; nothing is followed, unpacked or remembered.

    Use as an asynchronous context.

    Args:
        url: Of Elasticsearch, perhaps with a path in front.
    """

    def __init__(self, url: str) -> None:
        self._url = URL(url)
        self._prefix = self._url.raw_path.rstrip("/")
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE, ttl_dns_cache=30),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=_SILENT),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_AUTOMATIC,
            max_line_size=_HEADER,
            max_field_size=_HEADER,
            read_bufsize=_SMALL,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    def url(self, path: bytes, query: bytes) -> URL:
        """Where a path of the gateway lies at the node, byte for byte.

        Raises:
            Refused: it is no path, not UTF-8, or would leave the path in front.
        """
        if not path.startswith(b"/"):
            raise bad("the target of the request is no path")
        if self._prefix and b".." in _SEPARATOR.split(unquote_to_bytes(path)):
            raise bad("the path holds a segment [..]")
        try:
            return URL.build(
                scheme=self._url.scheme,
                authority=self._url.raw_authority,
                path=f"{self._prefix}{path.decode()}",
                query_string=query.decode(),
                encoded=True,
            )
        except UnicodeDecodeError:
            raise bad("the path or the query string is not UTF-8; percent-encode it") from None

    async def relay(self, exchange: Exchange, read: Sequence[bytes] = (), *, whole: bool = False) -> None:
        """Pass a request on and its answer back, both as they come.

        Args:
            exchange: The request.
            read: Pieces of its body that were read already.
            whole: Nothing follows them.

        Raises:
            Refused: the node cannot be reached, or cannot be told the request. Nothing was answered yet.
        """
        body = await self._body(exchange, read, whole=whole)
        try:
            headers = CIMultiDict(forwarded(exchange.headers))
        except UnicodeDecodeError:
            raise bad("a header is not UTF-8") from None
        try:
            response = await self._session.request(
                exchange.method,
                self.url(exchange.path, exchange.query),
                headers=headers,
                data=body,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            raise unreachable(str(error) or type(error).__name__) from error
        try:
            await _back(exchange, response)
        except aiohttp.ClientError as error:
            # The server closes the connection on an answer without an end: the client sees the cut.
            logger.warning("%s %s: the answer was cut off: %s", exchange.method, exchange.path, error)
        finally:
            # Not release(): an answer that nobody reads on would be read to its end.
            response.close() if not response.content.at_eof() else response.release()

    async def call(
        self, path: bytes, query: bytes, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes]:
        """A POST of our own: status and whole answer.

        Raises:
            Refused: the node cannot be reached.
        """
        try:
            async with self._session.post(self.url(path, query), headers=headers, data=body) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(str(error) or type(error).__name__) from error

    async def _body(
        self, exchange: Exchange, read: Sequence[bytes], *, whole: bool
    ) -> bytes | AsyncIterator[bytes] | None:
        if whole:
            return b"".join(read) if exchange.length != 0 else None
        length = exchange.length
        if length is None or length > _SMALL:
            return _joined(read, exchange.chunks())
        pieces = [*read, *[piece async for piece in exchange.chunks()]]
        return b"".join(pieces) if length else None


async def _joined(read: Sequence[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for piece in read:
        yield piece
    async for piece in rest:
        yield piece


async def _back(exchange: Exchange, response: aiohttp.ClientResponse) -> None:
    await exchange.begin(response.status, returned(response.raw_headers))
    content, ended = response.content, False
    while not ended:
        piece = await content.readany()
        ended = content.at_eof()
        await exchange.write(piece, more=not ended)
