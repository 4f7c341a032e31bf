"""Bodies are JSON as RFC 8259 has it: no NaN, no half characters, UTF-8, of bounded depth and size."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

from services.api.limits import VALUES
from services.bounded import holds_more


class StrictRequest(Request):
    """A request whose body is read by orjson: Python's own reader takes what cannot be sent on."""

    async def json(self) -> Any:
        """The body.

        Raises:
            json.JSONDecodeError: it is none.
            HTTPException: it is made of too many values. (FastAPI hides errors of other kinds from here.)
        """
        value = orjson.loads(await self.body())
        if holds_more(value, VALUES):
            raise HTTPException(422, f"the body is made of more than {VALUES:,} values")
        return value


class StrictRoute(APIRoute):
    """A route of strict requests: `APIRouter(route_class=StrictRoute)`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, on a strict request."""
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return strict
