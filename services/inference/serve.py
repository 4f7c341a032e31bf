"""Listen: on the local stack's port unless told otherwise."""

from __future__ import annotations

import uvicorn

from services.inference.app import create_app
from services.settings import Settings
from services.stack.endpoints import port_of
from services.stack.ports import HOST
from services.store import Store

DEFAULT_PORT = 8080
DRAIN = 8
"""Seconds that requests under way get after SIGTERM."""


def serve(settings: Settings, host: str | None = None, port: int | None = None) -> None:
    """Serve until SIGTERM; requests under way are finished first.

    Args:
        settings: Of this installation.
        host: Address to listen on; None: loopback.
        port: None: the port that the local stack remembers, else 8080.
    """
    chosen = port or port_of(settings, "models", DEFAULT_PORT)
    uvicorn.run(
        create_app(settings, Store(settings.store_url, cache=settings.home / "cache")),
        host=host or HOST,
        port=chosen,
        loop="uvloop",
        http="httptools",
        log_level="info",
        access_log=False,
        timeout_graceful_shutdown=DRAIN,
    )
