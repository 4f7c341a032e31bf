"""The Elasticsearch client, with this project's user, retries and serializers."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from elasticsearch import AsyncElasticsearch, Elasticsearch, OrjsonSerializer
from elasticsearch.serializer import NdjsonSerializer

from services.elastic.errors import TRANSIENT
from services.settings import Settings
from services.stack.endpoints import endpoints
from services.stack.secrets import password

TIMEOUT = 60.0
"""Seconds for one request; long ones say more through `client.options(request_timeout=…)`."""
CALLERS = 128
"""Requests at a time of a service on an event loop; more wait for one another."""


_JSON = OrjsonSerializer()


class _Lines(NdjsonSerializer):
    """The bodies of `_msearch` by orjson: a query vector in a tenth of the time."""

    def json_dumps(self, data: Any) -> bytes:
        try:
            return _JSON.json_dumps(data)
        except TypeError:  # integers beyond 64 bits, lone surrogates: the node says what is wrong with them
            return super().json_dumps(data)


def connect(settings: Settings, user: str = "admin") -> Elasticsearch:
    """A client for the local stack's node or for MSM_ES_URL. Sends nothing yet; safe to share by threads.

    Three quick retries with jittered back-off ride over a lost connection; a longer outage is the
    caller's affair, who sees `Unavailable` through `services.elastic.errors.translated`.

    Args:
        settings: `es_url`, `es_user`, `senders` count here.
        user: The component's own user; MSM_ES_USER takes its place.

    Raises:
        Unavailable: no stack is running and MSM_ES_URL is not set.
        AuthError: the user has no password file.
    """
    return Elasticsearch(**_options(settings, user))


def connect_async(settings: Settings, user: str = "admin") -> AsyncElasticsearch:
    """As `connect`, for an event loop: the client belongs to the one that sends its first request."""
    return AsyncElasticsearch(**_options(settings, user) | {"connections_per_node": CALLERS})


def anonymous_async(settings: Settings) -> AsyncElasticsearch:
    """As `connect_async` without credentials of ours: for requests that carry a caller's own."""
    return AsyncElasticsearch(**_ways(settings, "caller") | {"connections_per_node": CALLERS})


def _options(settings: Settings, user: str) -> dict[str, Any]:
    name = settings.es_user or user
    return {**_ways(settings, user), "basic_auth": (name, password(settings, name))}


def _ways(settings: Settings, user: str) -> dict[str, Any]:
    url = settings.es_url or endpoints(settings).es_url
    return {
        "hosts": url,
        "request_timeout": TIMEOUT,
        "connections_per_node": max(10, 2 * settings.senders),
        # On one machine, packing costs more time than it saves.
        "http_compress": urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1"),
        "serializers": {each.mimetype: each for each in (_JSON, _Lines())},
        "max_retries": 3,
        "retry_on_timeout": True,
        "retry_on_status": sorted(TRANSIENT),
        "retry_backoff_base": 0.25,
        "retry_backoff_cap": 4.0,
        "opaque_id": f"msmctl/{user}",
    }
