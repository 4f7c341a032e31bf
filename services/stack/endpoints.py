"""Where the services answer: given by settings, else by what the local stack remembers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from services.errors import InputError, Unavailable
from services.settings import Settings
from services.stack.layout import Layout
from services.stack.ports import HOST


@dataclass(frozen=True)
class Endpoints:
    """URLs without credentials (see `services.stack.secrets.password`)."""

    es_url: str
    redis_url: str
    api_url: str


def remembered(settings: Settings) -> dict[str, Any]:
    """The content of MSM_HOME/stack.json; empty before the first `up`."""
    path = Layout.of(settings).state
    try:
        value: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}", hint="remove it; `msmctl up` writes a new one") from error
    return value


def endpoints(settings: Settings) -> Endpoints:
    """Where Elasticsearch, Redis and the API are.

    Raises:
        Unavailable: a service is neither given by a setting nor was the local stack ever started.
    """
    ports: dict[str, int] = remembered(settings).get("ports", {})
    if not ports and not (settings.es_url and settings.redis_url):
        missing = "MSM_ES_URL" if not settings.es_url else "MSM_REDIS_URL"
        raise Unavailable(f"no local stack in {settings.home}, and {missing} is not set", hint="msmctl up")
    return Endpoints(
        es_url=settings.es_url or f"http://{HOST}:{ports['elasticsearch']}",
        redis_url=settings.redis_url or f"redis://{HOST}:{ports['redis']}/0",
        api_url=f"http://{HOST}:{ports['api']}" if ports else "",
    )


def port_of(settings: Settings, process: str, otherwise: int) -> int:
    """The port that the local stack gave to one of its processes; `otherwise` where there is none."""
    port: int = remembered(settings).get("ports", {}).get(process, otherwise)
    return port


def models_url(settings: Settings) -> str:
    """Where the local stack's models process is; empty where there is no local stack."""
    return _local(settings, "models")


def gateway_url(settings: Settings) -> str:
    """Where the local stack's gateway is; empty where there is no local stack."""
    return _local(settings, "gateway")


def _local(settings: Settings, process: str) -> str:
    port = port_of(settings, process, 0)
    return f"http://{HOST}:{port}" if port else ""
