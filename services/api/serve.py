"""Listen: on the local stack's port unless told otherwise."""

from __future__ import annotations

import uvicorn

from services.api.app import create_app
from services.settings import Settings
from services.stack.endpoints import remembered
from services.stack.ports import HOST

DEFAULT_PORT = 8000


def serve(settings: Settings, host: str | None = None, port: int | None = None) -> None:
    """Serve until SIGTERM; requests under way are finished first.

    Args:
        settings: Of this installation.
        host: Address to listen on; None: loopback.
        port: None: the port that the local stack remembers, else 8000.
    """
    chosen = port or remembered(settings).get("ports", {}).get("api", DEFAULT_PORT)
    uvicorn.run(
        create_app(settings),
        host=host or HOST,
        port=chosen,
        log_level="info",
        access_log=False,
        timeout_graceful_shutdown=8,
    )
