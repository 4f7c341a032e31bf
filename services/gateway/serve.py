"""Listen: on the local stack's port unless told otherwise."""

from __future__ import annotations

import uvicorn

from services.garbage import set_aside
from services.gateway.app import Gateway
from services.gateway.service import running
from services.settings import Settings
from services.stack.endpoints import port_of
from services.stack.ports import HOST

DEFAULT_PORT = 9201
_IDLE = 3600
"""Seconds that an idle connection stays: the node's own stay for ever, and clients count on it."""


def serve(settings: Settings, host: str | None = None, port: int | None = None) -> None:
    """Serve until SIGTERM; requests under way are finished first.

    Args:
        settings: Of this installation.
        host: Address to listen on; None: loopback.
        port: None: the port that the local stack remembers, else 9201.
    """
    chosen = port or port_of(settings, "gateway", DEFAULT_PORT)
    gateway = Gateway(running(settings))
    set_aside()
    uvicorn.run(
        gateway,
        host=host or HOST,
        port=chosen,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_level="info",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=8,
    )
