"""Who asks: `Authorization: Bearer msm_…`, as a dependency of endpoints."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from services.api.errors import Forbidden, TooOften, Unauthenticated
from services.api.keys.key import Key, Scope, hashed, parse
from services.api.service import Service, service_of

_NOBODY = hashed("")
_HINT = "`msmctl api keys create` makes one; send it as `Authorization: Bearer KEY`"
_bearer = HTTPBearer(auto_error=False, description="A key of `msmctl api keys create`.")

Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
Serving = Annotated[Service, Depends(service_of)]


def allowed(scope: Scope) -> Callable[..., Awaitable[Key]]:
    """A dependency: the key of a request, which may do this, also with the collection in its path."""

    async def check(request: Request, service: Serving, credentials: Credentials) -> Key:
        key = await _known(service, credentials)
        request.state.key = key
        if key.rate is not None and (wait := service.rates.wait(key.id, key.rate)) > 0:
            service.metrics.refused.labels("rate").inc()
            raise TooOften(
                f"key '{key.id}' may ask {key.rate:,} times a minute",
                retry_after=wait,
                hint="wait as long as Retry-After says",
            )
        if not key.has(scope):
            service.metrics.refused.labels("scope").inc()
            raise Forbidden(
                f"key '{key.id}' has not the scope '{scope}' (it has: {', '.join(key.scopes)})",
                hint=f"`msmctl api keys create --scope {scope}` makes one that has",
            )
        if "collection" in request.path_params:
            require(service, key, request.path_params["collection"])
        return key

    return check


async def admit(request: Request) -> None:
    """Have a sender with a key that counts, whatever it may do. Raises: as every endpoint that wants one."""
    await _known(service_of(request), await _bearer(request))


async def sender(request: Request) -> Key | None:
    """The key that a request sends where it need not; None: it sends none. Raises: as `admit`."""
    credentials = await _bearer(request)
    return None if credentials is None else await _known(service_of(request), credentials)


def require(service: Service, key: Key, collection: str) -> None:
    """Have a key that may ask this collection.

    Raises:
        Forbidden: it may not.
    """
    if not key.reaches(collection):
        service.metrics.refused.labels("collection").inc()
        raise Forbidden(
            f"key '{key.id}' may not ask collection '{collection}'",
            hint=f"it may ask: {', '.join(key.collections)}",
        )


async def _known(service: Service, credentials: HTTPAuthorizationCredentials | None) -> Key:
    """The key that was sent, proved and active.

    Raises:
        Unauthenticated: there is none, or it does not count.
    """
    if credentials is None:
        service.metrics.refused.labels("none").inc()
        raise Unauthenticated("no key was sent", hint=_HINT)
    parts = parse(credentials.credentials)
    key = await service.keys.get(parts[0]) if parts else None
    # Unknown ids and wrong secrets are told apart by nothing, time included.
    proved = hmac.compare_digest(key.hash if key else _NOBODY, hashed(parts[1] if parts else ""))
    if key is None or not proved:
        service.metrics.refused.labels("unknown").inc()
        raise Unauthenticated("this key is not known", hint=_HINT)
    state = key.state(datetime.now(UTC))
    if state != "active":
        service.metrics.refused.labels(state).inc()
        raise Unauthenticated(f"key '{key.id}' is {state}", hint=_HINT)
    return key
