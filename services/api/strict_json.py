"""Bodies are JSON as RFC 8259 has it: no NaN, no half characters, UTF-8, of bounded depth."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute


class StrictRequest(Request):
    """A request whose body is read by orjson: Python's own reader takes what cannot be sent on."""

    async def json(self) -> Any:
        """The body; `json.JSONDecodeError` where it is none."""
        return orjson.loads(await self.body())


class StrictRoute(APIRoute):
    """A route of strict requests: `APIRouter(route_class=StrictRoute)`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, on a strict request."""
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return strict
