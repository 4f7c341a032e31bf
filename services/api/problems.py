"""Errors as problem details (RFC 9457), with our code, a hint and the id of the request."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from services import errors
from services.api.errors import Forbidden, TooLarge, TooSlow, Unauthenticated

MEDIA_TYPE = "application/problem+json"
DEFECT = "failed"
"""Code of what went wrong that should not."""
_SHOWN = 10
# The first that fits counts: special ones before those that they are kinds of.
_STATUS: tuple[tuple[type[errors.MsmError], int], ...] = (
    (Unauthenticated, 401),
    (Forbidden, 403),
    (TooLarge, 413),
    (TooSlow, 408),
    (errors.UsageError, 400),
    (errors.InputError, 400),
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.Overloaded, 429),
    (errors.TooLate, 504),
    (errors.TimedOut, 504),
    (errors.Unavailable, 503),
    (errors.AuthError, 503),  # our own user's rights in Elasticsearch, not the caller's
)


class Invalid(BaseModel):
    """A place in the request that is not as it should be."""

    place: str
    message: str


class Problem(BaseModel):
    """What went wrong. `code` is ours and stable; `hint` says what to do.

    `message` is `detail` again, under the name that clients of other services look for.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "collection 'squat' has no served index (there: none)",
                    "code": "not_found",
                    "message": "collection 'squat' has no served index (there: none)",
                    "hint": "`msmctl index build --collection squat --system SYSTEM` makes one",
                    "request_id": "8d7f2e5b6a6f4f0e9a0c1f3f0f6c2b11",
                }
            ]
        }
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    message: str
    hint: str | None = None
    request_id: str = ""
    errors: list[Invalid] | None = None


def status_of(error: errors.MsmError) -> int:
    """The HTTP status of an error of ours; 500 for what nobody can mend from outside."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def of_error(error: errors.MsmError, request_id: str) -> Response:
    """The answer to a request that failed."""
    headers = {}
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, errors.Overloaded):
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
    return _response(status_of(error), error.code, error.message, error.hint, request_id, headers)


def of_defect(request_id: str) -> Response:
    """The answer where something went wrong that should not: a stranger learns nothing of the inside."""
    return _response(500, DEFECT, "a defect of msmctl", "the service's log tells more", request_id)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What an endpoint may answer besides its result, for OpenAPI."""
    return {
        status: {"description": HTTPStatus(status).phrase, "model": Problem}
        for status in sorted({400, 401, 403, 408, 413, 422, 429, 503, *statuses})
    }


def handle_problems(app: FastAPI) -> None:
    """Have every error that is foreseen answered as a problem; others: `services.api.edge.tracked`."""

    @app.exception_handler(errors.MsmError)
    async def known(request: Request, error: errors.MsmError) -> Response:
        return of_error(error, request.state.request_id)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return _invalid(request, error)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "usage")
        hint = "GET /openapi.json lists what there is" if error.status_code in (404, 405) else None
        message = f"{request.method} {request.url.path}: {error.detail}"
        return _response(error.status_code, code, message, hint, request.state.request_id, error.headers)


def _invalid(request: Request, error: RequestValidationError) -> Response:
    """A request of the wrong shape: where, and what is wrong there; what was sent is not repeated."""
    found = error.errors()
    if any(one["type"] == "json_invalid" for one in found):
        message = f"the body is not JSON: {found[0]['ctx']['error']}"
        return _response(400, "usage", message, None, request.state.request_id)
    places = [
        Invalid(
            place=".".join(str(part) for part in one["loc"] if part != "body"),
            message=str(one["msg"]).removeprefix("Value error, "),
        )
        for one in found[:_SHOWN]
    ]
    first = places[0]
    hint = "GET /openapi.json has the shape of every request"
    if request.headers.get("content-length", "0") != "0" and "json" not in request.headers.get(
        "content-type", ""
    ):
        hint = "send it with `Content-Type: application/json`"
    message = f"{first.place}: {first.message}" if first.place else first.message
    return _response(422, "usage", message, hint, request.state.request_id, invalid=places)


def _response(
    status: int,
    code: str,
    message: str,
    hint: str | None,
    request_id: str,
    headers: Mapping[str, str] | None = None,
    invalid: list[Invalid] | None = None,
) -> Response:
    problem = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=message,
        code=code,
        message=message,
        hint=hint,
        request_id=request_id,
        errors=invalid,
    )
    # ASCII: a message may repeat half a character (JSON's "\ud800"), which is none in UTF-8.
    body = json.dumps(problem.model_dump(exclude_none=True)).encode()
    return Response(body, status, headers, media_type=MEDIA_TYPE)
