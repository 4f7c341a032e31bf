"""Readiness probes: None when a service does its work, else why it does not. No client libraries."""

from __future__ import annotations

import base64
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

from services.errors import AuthError
from services.settings import Settings
from services.stack import secrets

TIMEOUT = 2.0


def elasticsearch(settings: Settings, url: str, user: str = "api") -> str | None:
    """Every primary shard is there, and our user may ask."""
    user = settings.es_user or user
    try:
        token = base64.b64encode(f"{user}:{secrets.password(settings, user)}".encode()).decode()
    except AuthError as error:
        return error.message
    answer = _get(f"{url.rstrip('/')}/_cluster/health", {"Authorization": f"Basic {token}"})
    if isinstance(answer, str):
        return answer
    status = json.loads(answer).get("status")
    return None if status in ("green", "yellow") else f"cluster health is {status}"


def readiness(url: str) -> str | None:
    """A GET answers 200, or a 503 that says why not in its `reasons`."""
    answer = _get(url, {}, refused=_reasons)
    return answer if isinstance(answer, str) else None


def _reasons(error: urllib.error.HTTPError) -> str | None:
    """What an answer of ours says."""
    try:
        said = json.loads(error.read())["reasons"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return "; ".join(map(str, said))


def _get(
    url: str,
    headers: dict[str, str],
    refused: Callable[[urllib.error.HTTPError], str | None] = lambda error: None,
) -> bytes | str:
    """The body of a 200, or what went wrong: in the words of `refused`, where it finds some."""
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the URL is ours or the operator's
        with _direct.open(request, timeout=TIMEOUT) as answer:
            body: bytes = answer.read()
            return body
    except urllib.error.HTTPError as error:
        return refused(error) or f"HTTP {error.code} from {url}"
    except (OSError, ValueError) as error:
        return f"{url}: {getattr(error, 'reason', error)}"


# Proxies from the environment are for the world outside, not for the stack.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def redis(settings: Settings, url: str) -> str | None:
    """AUTH and PING, spoken directly. TLS endpoints are only checked for a connection."""
    parts = urlsplit(url)
    try:
        password = secrets.password(settings, secrets.REDIS)
        with socket.create_connection(
            (parts.hostname or "127.0.0.1", parts.port or 6379), timeout=TIMEOUT
        ) as wire:
            if parts.scheme == "rediss":
                return None
            words = [b"AUTH", password.encode()]
            wire.sendall(b"*2\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words) + b"PING\r\n")
            answer = b""
            while answer.count(b"\r\n") < 2:
                received = wire.recv(256)
                if not received:
                    break
                answer += received
    except AuthError as error:
        return error.message
    except OSError as error:
        return f"{url}: {error}"
    return None if b"+PONG" in answer else f"{url}: {answer.decode(errors='replace').splitlines()[0:1]}"
