"""A small HTTP proxy that misbehaves: between a component and Elasticsearch, it injects what networks do.

`python proxy.py TARGET_PORT SEED SHARE` prints its port and serves until it is ended. A seeded share of
the requests is answered with 429 or 503, or the connection is reset, before or after the request was
passed on (then Elasticsearch has done it and only the answer is lost).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import sys
from typing import Literal

Fault = Literal["429", "503", "reset before", "reset after"]
FAULTS: tuple[Fault, ...] = ("429", "503", "reset before", "reset after")


class Proxy:
    """Passes HTTP/1.1 on, request by request."""

    def __init__(self, target: int, seed: int, share: float) -> None:
        self._target = target
        self._random = random.Random(seed)
        self._share = share
        self.counts = dict.fromkeys(("passed", *FAULTS), 0)

    async def serve(self) -> None:
        server = await asyncio.start_server(self._client, "127.0.0.1", 0, limit=1 << 26)
        print(server.sockets[0].getsockname()[1], flush=True)
        async with server:
            await server.serve_forever()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = await asyncio.open_connection("127.0.0.1", self._target, limit=1 << 26)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self._one(reader, writer, *upstream):
                pass
        for stream in (writer, upstream[1]):
            stream.close()

    async def _one(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> bool:
        """Handle one request; whether the connection lives on."""
        request = await _message(reader)
        fault = self._random.choice(FAULTS) if self._random.random() < self._share else None
        self.counts[fault or "passed"] += 1
        if fault == "reset before":
            return _reset(writer)
        if fault in ("429", "503"):
            body = b'{"error":{"type":"es_rejected_execution_exception","reason":"injected"},"status":%s}' % (
                fault.encode()
            )
            writer.write(
                b"HTTP/1.1 %s injected\r\nX-elastic-product: Elasticsearch\r\n"
                b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
                % (fault.encode(), len(body), body)
            )
            await writer.drain()
            return True
        up_writer.write(request)
        await up_writer.drain()
        answer = await _message(up_reader, has_body=not request.startswith(b"HEAD "))
        if fault == "reset after":
            return _reset(writer)
        writer.write(answer)
        await writer.drain()
        return True


async def _message(reader: asyncio.StreamReader, *, has_body: bool = True) -> bytes:
    """Head and body of a request or an answer, by length or in chunks."""
    head = await reader.readuntil(b"\r\n\r\n")
    if not has_body:
        return head
    lines = head.lower().split(b"\r\n")
    if any(line.startswith(b"transfer-encoding:") and b"chunked" in line for line in lines):
        return head + await _chunks(reader)
    length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
    return head + await reader.readexactly(length)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while True:
        size = await reader.readuntil(b"\r\n")
        body += size + await reader.readexactly(int(size, 16) + 2)
        if int(size, 16) == 0:
            return body


def _reset(writer: asyncio.StreamWriter) -> bool:
    """Close with RST, as a crashed peer or an impatient middlebox does."""
    wire = writer.get_extra_info("socket")
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


if __name__ == "__main__":
    asyncio.run(Proxy(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])).serve())
