"""The HTTP service: alive and ready, for now; search comes on top of it."""

from __future__ import annotations

from fastapi import FastAPI, Response

from services.settings import Settings
from services.stack import probes
from services.stack.endpoints import endpoints


def create_app(settings: Settings) -> FastAPI:
    """The application for one installation."""
    app = FastAPI(title="msmctl", docs_url=None, redoc_url=None)

    @app.get("/livez")
    def livez() -> dict[str, str]:
        """The process answers."""
        return {"status": "alive"}

    @app.get("/readyz")
    def readyz(response: Response) -> dict[str, str]:
        """Elasticsearch answers us, as the user `api`; 503 with the reason while it does not."""
        reason = probes.elasticsearch(settings, endpoints(settings).es_url)
        if reason is None:
            return {"status": "ready"}
        response.status_code = 503
        return {"status": "unavailable", "reason": reason}

    return app
