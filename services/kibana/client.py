"""Putting saved objects into a running Kibana: `POST /api/saved_objects/_import`.

https://www.elastic.co/docs/api/doc/kibana/operation/operation-post-saved-objects-import
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from typing import IO, Any

from services.errors import AuthError, CheckFailed, InputError, MsmError, NotFound, Unavailable, UsageError

TIMEOUT = 60.0
_SHOWN = 5
_SPACE = re.compile(r"[a-z0-9_-]{1,255}")


@dataclass(frozen=True)
class Imported:
    """What Kibana says that it took: type, id and title of every object."""

    objects: list[dict[str, str]]


class _Here(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the POST would become a GET, and the password go somewhere else."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        return None


# Proxies from the environment are for the world outside, not for the stack.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Here())


def import_objects(
    url: str, content: bytes, user: str, password: str, *, space: str | None = None, timeout: float = TIMEOUT
) -> Imported:
    """Import ndjson; objects that are there already are overwritten.

    Args:
        url: Where Kibana is, with its base path if it has one.
        content: As `services.kibana.objects.ndjson` makes it.
        user: May manage saved objects.
        password: The user's.
        space: Where to; None: the default space.
        timeout: Seconds.

    Raises:
        UsageError: the address or the space is none.
        Unavailable: Kibana does not answer, or is not ready yet.
        AuthError: it does not know the user, or the user may not do it.
        NotFound: there is no such space, or no Kibana at that path.
        CheckFailed: it refused some objects; the message names them.
        InputError: it refused the file.
        MsmError: what answers is not Kibana.
    """
    boundary = secrets.token_hex(16)
    request = urllib.request.Request(  # noqa: S310 - http and https only, see _endpoint
        _endpoint(url, space), data=_form(content, boundary), method="POST"
    )
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    request.add_header("Authorization", f"Basic {token}")
    request.add_header("Content-Type", f"multipart/form-data; boundary={boundary}")
    request.add_header("kbn-xsrf", "msmctl")  # any value: without the header Kibana refuses to be written to
    try:
        with _direct.open(request, timeout=timeout) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(url, user, space, error, error.read()) from None
    except (OSError, HTTPException) as error:
        raise Unavailable(
            f"Kibana at {url} cannot be reached: {getattr(error, 'reason', error) or type(error).__name__}",
            hint="`docker compose --profile kibana up -d --wait` starts one; --url says where it is",
        ) from error
    return _imported(url, body)


def _endpoint(url: str, space: str | None) -> str:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise UsageError(f"'{url}' is no address of a Kibana", hint="such as http://localhost:5601")
    if "@" in parts.netloc:
        raise UsageError("no user and password in an address", hint="use --user and --password-file")
    if space is not None and not _SPACE.fullmatch(space):
        raise UsageError(
            f"'{space}' is no id of a space", hint="a-z, 0-9, '_' and '-'; not the space's title"
        )
    inside = f"/s/{space}" if space else ""
    return f"{url.rstrip('/')}{inside}/api/saved_objects/_import?overwrite=true"


def _form(content: bytes, boundary: str) -> bytes:
    """A form of one file; Kibana refuses names that do not end in .ndjson."""
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="kibana.ndjson"\r\n'
        "Content-Type: application/x-ndjson\r\n\r\n"
    )
    return head.encode() + content + f"\r\n--{boundary}--\r\n".encode()


def _refused(url: str, user: str, space: str | None, error: urllib.error.HTTPError, body: bytes) -> MsmError:
    status = error.code
    said = _message(body)
    message = f"Kibana at {url}: HTTP {status}{f': {said}' if said else ''}"
    if status in (301, 302, 303, 307, 308):
        where = error.headers.get("Location", "")
        return UsageError(f"{url} leads on to {where}", hint="give the address that it leads to as --url")
    if status == 401:
        return AuthError(message, hint=f"is this the password of '{user}'? --user, --password-file")
    if status == 403:
        return AuthError(message, hint=f"'{user}' may not manage saved objects; the user `admin` may")
    if status == 404:
        missing = f"is there a space '{space}'? " if space else ""
        return NotFound(message, hint=f"{missing}a base path of Kibana belongs to --url")
    if status in (429, 502, 503, 504):
        return Unavailable(message, hint="Kibana is still starting, or overloaded: try again")
    return InputError(message) if status < 500 else MsmError(message, hint="Kibana's own log says more")


def _message(body: bytes) -> str:
    try:
        said = json.loads(body)
    except ValueError:
        return body[:200].decode("utf-8", "replace").strip()
    return str(said.get("message", ""))[:500] if isinstance(said, Mapping) else ""


def _imported(url: str, body: bytes) -> Imported:
    try:
        said = json.loads(body)
        success, results = said["success"], said.get("successResults", [])
        errors = said.get("errors", [])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MsmError(f"what answers at {url} is not Kibana", hint="check --url") from error
    if not success:
        listed = "; ".join(_failure(one) for one in errors[:_SHOWN])
        more = f"; and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
        counts = f"took {said.get('successCount', 0)} objects and refused {len(errors)}"
        raise CheckFailed(
            f"Kibana at {url} {counts}: {listed}{more}",
            hint="objects of a newer form need a newer Kibana (8.8 and later take these)",
        )
    return Imported(
        [
            {"type": one["type"], "id": one["id"], "title": str(one.get("meta", {}).get("title", ""))}
            for one in results
        ]
    )


def _failure(error: Mapping[str, Any]) -> str:
    why = error.get("error", {})
    detail = why.get("message") or ", ".join(
        f"{one.get('type')} {one.get('id')}" for one in why.get("references", [])
    )
    return f"{error.get('type')} {error.get('id')}: {why.get('type')}{f' ({detail})' if detail else ''}"
