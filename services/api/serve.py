"""Listen: on the local stack's port unless told otherwise."""

from __future__ import annotations

import uvicorn

from services.api.app import create_app
from services.api.drain import DrainingServer
from services.api.limits import LONGEST_MS
from services.garbage import set_aside
from services.settings import Settings
from services.stack.endpoints import port_of
from services.stack.ports import HOST

DEFAULT_PORT = 8000
_KEPT_ALIVE = 75
"""Seconds: longer than clients keep idle connections, so that it is they who close them."""


def serve(settings: Settings, host: str | None = None, port: int | None = None) -> None:
    """Serve until SIGTERM; requests under way, or on their way, are answered first.

    Args:
        settings: Of this installation.
        host: Address to listen on; None: loopback.
        port: None: the port that the local stack remembers, else 8000.
    """
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=host or HOST,
        port=port or port_of(settings, "api", DEFAULT_PORT),
        ws="none",
        log_level="info",
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEPT_ALIVE,
        timeout_graceful_shutdown=round(LONGEST_MS / 1000) + 2,
    )
    set_aside()
    DrainingServer(config, app).run()
