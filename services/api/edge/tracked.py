"""Gives every request an id and a moment of receipt, counts it, and says when a connection will close."""

from __future__ import annotations

import logging
import re
import time
import uuid

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.metrics import Metrics
from services.api.problems import of_defect

logger = logging.getLogger(__name__)


_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Tracked:
    """ASGI middleware, the outermost. `scope["state"]` gets `request_id` and `received` (monotonic seconds).

    Args:
        app: What answers.
        metrics: Where it is counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received, status = time.monotonic(), 0
        request_id = _request_id(scope)
        scope.setdefault("state", {}).update(request_id=request_id, received=received)

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
                if scope["app"].state.draining:
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        self._metrics.under_way.inc()
        try:
            await self._app(scope, receive, sent)
        except Exception:
            logger.exception("request %s", request_id)
            if status:
                raise  # too late for another answer: the server cuts the connection
            await of_defect(request_id)(scope, receive, sent)
        finally:
            self._metrics.under_way.dec()
            if status:
                route = getattr(scope.get("route"), "path", "none")
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self._metrics.requests.labels(method, route, str(status)).inc()
                self._metrics.seconds.labels(route).observe(time.monotonic() - received)


def _request_id(scope: Scope) -> str:
    """The caller's own, where it is fit to stand in logs, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text: str = value.decode("latin-1")
            return text if _ID.fullmatch(text) else uuid.uuid4().hex
    return uuid.uuid4().hex
