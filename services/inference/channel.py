"""One server that is asked over HTTP: kept-alive connections, deadlines, errors in our words, a breaker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import orjson

from services.deadline import Deadline
from services.errors import InputError, MsmError, Overloaded, TooLate, Unavailable, first_line
from services.inference.breaker import Breaker
from services.inference.wire import error_of

T = TypeVar("T")

LONGEST = 600.0
"""Seconds that a request without a deadline may take."""
CONNECT = 2.0
PROBE = 1.0


@dataclass(frozen=True)
class Answer:
    """Body and headers."""

    body: bytes
    headers: Mapping[str, str]

    def json(self) -> Any:
        """The decoded body; ValueError when it is no JSON."""
        return orjson.loads(self.body)


class Channel:
    """A server by its base URL. Belongs to one event loop.

    Args:
        url: `http(s)://host:port[/path]`.
        alive: Path of a GET that any living server answers.
        key: Bearer token; None: none is sent.
    """

    def __init__(self, url: str, alive: str, key: str | None) -> None:
        self.url = url.rstrip("/")
        self._alive = alive
        self._headers = {"Content-Type": "application/json"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"
        self._session: aiohttp.ClientSession | None = None
        self.breaker = Breaker(self.url, self.answers)

    async def post(
        self, path: str, body: Mapping[str, Any], deadline: Deadline, read: Callable[[Answer], T]
    ) -> T:
        """What the server answers.

        Args:
            path: Below the base URL.
            body: Sent as JSON.
            deadline: Of the request.
            read: Makes sense of a 200; ValueError, KeyError or TypeError where there is none in it.

        Raises:
            TooLate: no answer by the deadline. If the server does not answer a probe either, further
                requests fail at once until it does.
            Overloaded: 429.
            Unavailable: it cannot be reached, or is not what it should be.
            MsmError: what the server says.
        """
        if deadline.passed:
            raise TooLate(f"{self.url}: the deadline passed before it was asked")
        try:
            data = orjson.dumps(body)
        except TypeError as error:  # JSONEncodeError: a lone surrogate
            raise InputError(f"a text cannot be sent: {first_line(error)}") from error
        status, answer = await self._in_time(path, data, deadline)
        if status != 200:
            raise _refused(status, answer, self.url)
        try:
            return read(answer)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise Unavailable(
                f"{self.url}{path}: an answer that is none: {first_line(error)}",
                hint="MSM_EMBED_URL and MSM_RERANK_URL begin with the dialect of the server: tei+http://…",
            ) from error

    async def close(self) -> None:
        """Close connections."""
        await self.breaker.close()
        if self._session is not None:
            await self._session.close()

    async def _in_time(self, path: str, data: bytes, deadline: Deadline) -> tuple[int, Answer]:
        try:
            async with asyncio.timeout(min(deadline.left, LONGEST)):
                await self.breaker.check()
                return await self._sent(path, data)
        except asyncio.CancelledError:
            self.breaker.suspect()  # who gave up may have waited in vain
            raise
        except aiohttp.ClientError as error:  # before TimeoutError: a connection that takes too long is both
            raise self._lost(error) from error
        except TimeoutError as error:
            self.breaker.suspect()  # whoever has little time must not decide for all
            raise TooLate(f"{self.url}: no answer by the deadline") from error
        except OSError as error:
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> Unavailable:
        self.breaker.trip(first_line(error))
        return Unavailable(f"{self.url}: {first_line(error)}", hint="msmctl status; msmctl logs models")

    async def _sent(self, path: str, data: bytes) -> tuple[int, Answer]:
        try:
            return await self._send(path, data)
        except aiohttp.ServerDisconnectedError:
            # A kept connection that the server closed (it was restarted) says nothing of the server now, and
            # to compute the same again does no harm.
            return await self._send(path, data)

    async def _send(self, path: str, data: bytes) -> tuple[int, Answer]:
        async with self._sessions().post(self.url + path, data=data, headers=self._headers) as reply:
            return reply.status, Answer(await reply.read(), reply.headers)

    def _sessions(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT),
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
                auto_decompress=True,
            )
        return self._session

    async def answers(self) -> bool:
        """Whether the server answers anything within a second; its errors are its business."""
        return await self.get(self._alive) is not None

    async def get(self, path: str) -> Answer | None:
        """What it answers within a second, whatever the status; None when it is silent."""
        try:
            async with (
                asyncio.timeout(PROBE),
                self._sessions().get(self.url + path, headers=self._headers) as reply,
            ):
                return Answer(await reply.read(), reply.headers)
        except (aiohttp.ClientError, OSError):  # TimeoutError is an OSError
            return None


def _refused(status: int, answer: Answer, where: str) -> MsmError:
    try:
        body = answer.json()
    except ValueError:
        body = None
    error = error_of(status, body, where)
    if status == 429 and not isinstance(error, Overloaded):
        return Overloaded(error.message, retry_after=_seconds(answer.headers.get("Retry-After")))
    return error


def _seconds(text: str | None) -> float:
    """Of a Retry-After; dates, which nobody sends here, count as a second."""
    return float(text) if text is not None and text.strip().isdigit() else 1.0
