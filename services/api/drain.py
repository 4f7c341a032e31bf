"""A server that loses no request when it is told to end.

Uvicorn alone closes its listening socket with connections in the queue, which the kernel then resets, and
closes idle connections on which the next request may be on its way. Here, on SIGTERM: no new connection is
made, those that are queued or being made are accepted, every answer from then on says `Connection: close`,
and only connections that stay silent are closed.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import Any

import uvicorn
from fastapi import FastAPI

from services.api.deaf import deafen

HANDSHAKE = 0.1
"""Seconds for connections that are being made; longer than a round trip."""
SILENT = 1.0
"""Seconds that connections without a request under way are given to send one."""


class DrainingServer(uvicorn.Server):
    """See the module.

    Args:
        config: Uvicorn's, with the wrapped application.
        app: Whose `state.draining` is set.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, answer what is there, then end as uvicorn does."""
        self._app.state.draining = True
        # Duplicates keep the queues alive while the event loop lets go of its own.
        listening = [
            socket.socket(fileno=os.dup(one.fileno())) for server in self.servers for one in server.sockets
        ]
        for one in listening:
            deafen(one)
        await asyncio.sleep(HANDSHAKE)
        await self._accept_the_rest(listening)
        until = time.monotonic() + SILENT
        while self.server_state.connections and time.monotonic() < until:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)

    async def _accept_the_rest(self, listening: list[socket.socket]) -> None:
        """Close the listening sockets, and take what the kernel has accepted on them before."""
        for server in self.servers:
            server.close()
        accepted = []
        for one in listening:
            one.setblocking(False)
            with one:
                while (connection := _next(one)) is not None:
                    accepted.append(connection)
        for connection in accepted:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        factory: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = factory(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol


def _next(listening: socket.socket) -> socket.socket | None:
    """The next connection in the queue of a listening socket that does not block; None: it is empty."""
    try:
        connection, _ = listening.accept()
    except (BlockingIOError, ConnectionAbortedError):
        return None
    connection.setblocking(False)
    return connection
