"""The models process's HTTP application: what is common to all endpoints, life, readiness, metrics."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from services.errors import AuthError, MsmError, Overloaded, TooLate, UsageError
from services.garbage import set_aside
from services.inference import warmth, wire
from services.inference.dialects import tei
from services.inference.endpoints import ENDPOINTS, FOREIGN_MS, Endpoint, json_response
from services.inference.local import LocalModels, Watch
from services.inference.metrics import Metrics
from services.inference.presence import ClientGone, unless_gone
from services.settings import Settings
from services.stack import secrets
from services.store import Store

KEY = "models_key"
"""File in MSM_SECRETS: where it is there, requests for models must carry its content as bearer token."""
MOST_BYTES = 32 * 2**20
GONE = 499
_OUTCOMES: dict[type[MsmError], str] = {Overloaded: "overloaded", TooLate: "too_late"}


def create_app(settings: Settings, store: Store) -> Starlette:
    """The application; its models are those of `store`."""
    served = _Served(settings, store)
    told = {
        wire.LIVE: served.livez,
        wire.READY: served.readyz,
        "/health": served.readyz,
        tei.INFO: served.info,
        "/metrics": served.metrics,
    }
    routes = [
        Route(path, served.answering(path, endpoint), methods=["POST"])
        for path, endpoint in ENDPOINTS.items()
    ]
    routes += [Route(path, handler, methods=["GET"]) for path, handler in told.items()]
    return Starlette(routes=routes, lifespan=served.life)


class _Served:
    """One application's state and handlers."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings, self._store = settings, store
        self._counted = Metrics()
        path = secrets.password_file(settings, KEY)
        self._key = secrets.password(settings, KEY) if path.is_file() else None
        self._imported = False
        self._stated = warmth.stated(settings)
        self._models: LocalModels

    @asynccontextmanager
    async def life(self, app: Starlette) -> AsyncIterator[None]:
        """Listening begins at once; libraries and models are loaded beside it."""
        self._models = LocalModels(
            self._settings, self._store, Watch(self._counted.block, self._counted.stage, self._remember)
        )
        first = asyncio.create_task(self._begin())
        yield
        first.cancel()
        await self._models.close()

    async def _begin(self) -> None:
        """Libraries, then what is to be warm; of what was in use before, what is still there."""
        await self._models.imported()
        set_aside()
        await self._models.warm(self._stated or warmth.remembered(self._settings), optional=not self._stated)
        self._imported = True

    def _remember(self) -> None:
        warmth.remember(self._settings, [name for _, name in self._models.shelf.loaded])

    # -- requests for models -----------------------------------------------------------------------

    def answering(self, path: str, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        """A handler: key, body, work while somebody waits, errors, metrics."""

        async def answer(request: Request) -> Response:
            began = time.monotonic()
            outcome, response = await self._outcome(request, endpoint)
            self._counted.requests.labels(path, outcome).inc()
            self._counted.stage("request", time.monotonic() - began)
            return response

        return answer

    async def _outcome(self, request: Request, endpoint: Endpoint) -> tuple[str, Response]:
        try:
            self._require_key(request)
            body = await _body(request)
            return "ok", await unless_gone(request.receive, endpoint(self._models, body))
        except ClientGone:
            return "gone", Response(status_code=GONE)
        except MsmError as error:
            status = wire.status_of(error)
            outcome = _OUTCOMES.get(type(error), "refused" if status < 500 else "failed")
            return outcome, json_response(wire.body_of(error), status, wire.headers_of(error))

    def _require_key(self, request: Request) -> None:
        if self._key is None:
            return
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._key}".encode()):
            raise AuthError(
                "the models process wants its key", hint="embed_key and rerank_key in MSM_SECRETS"
            )

    # -- life, readiness, metrics ------------------------------------------------------------------

    async def livez(self, request: Request) -> Response:
        """The process answers."""
        return json_response({"status": "alive"})

    async def readyz(self, request: Request) -> Response:
        """503 with `reasons` while models are loaded that are to be warm, or where MSM_WARM cannot be had.

        Another model that somebody wants warm and that cannot be loaded is told only: the others answer.
        """
        reasons = await self._models.unready()
        if not self._imported:
            return json_response({"status": "loading", "reasons": ["libraries are being imported"]}, 503)
        if self._models.loading:
            return json_response({"status": "loading", "reasons": reasons}, 503)
        if not self._models.failed.keys().isdisjoint(self._stated):
            return json_response({"status": "failed", "reasons": reasons}, 503)
        return json_response({"status": "degraded" if reasons else "ready", "reasons": reasons})

    async def info(self, request: Request) -> Response:
        """What is loaded, and limits; names as TEI has them where it has them."""
        loaded = self._models.shelf.loaded.items()
        return json_response(
            {
                "models": [
                    {"kind": kind, "model_id": name, "model_sha": runner.checkpoint}
                    for (kind, name), runner in loaded
                ],
                "max_batch_tokens": self._settings.queue_tokens,
                "max_request_ms": FOREIGN_MS,
                "max_body_bytes": MOST_BYTES,
            }
        )

    async def metrics(self, request: Request) -> Response:
        """For Prometheus."""
        return PlainTextResponse(self._counted.shown(self._models), media_type="text/plain; version=0.0.4")


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise UsageError(f"a body of more than {MOST_BYTES:,} bytes", hint="send fewer texts at a time")
        parts.append(part)
    return b"".join(parts)
