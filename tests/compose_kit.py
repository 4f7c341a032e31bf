"""Reading docker-compose.yml as Compose does, as far as our file goes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tests.conftest import ROOT

FILE = ROOT / "docker-compose.yml"
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+):-([^}]*)\}")

Service = dict[str, Any]


def interpolated(text: str, values: Mapping[str, str]) -> str:
    """`${NAME:-default}` replaced, `$$` unescaped."""
    return VARIABLE.sub(lambda match: values.get(match[1]) or match[2], text).replace("$$", "$")


def services(values: Mapping[str, str] | None = None) -> dict[str, Service]:
    """All services, with these values for the variables."""
    document: dict[str, Any] = yaml.safe_load(interpolated(FILE.read_text(), values or {}))
    found: dict[str, Service] = document["services"]
    return found


def enabled(profiles: set[str]) -> dict[str, Service]:
    """The services that these profiles start."""
    return {
        name: service
        for name, service in services().items()
        if not service.get("profiles") or profiles & set(service["profiles"])
    }


def in_order(chosen: Mapping[str, Service]) -> list[str]:
    """The names so that each comes after what it depends on."""
    ordered: list[str] = []

    def visit(name: str) -> None:
        for needed in chosen[name].get("depends_on", {}):
            visit(needed)
        if name not in ordered:
            ordered.append(name)

    for name in chosen:
        visit(name)
    return ordered


def ours(chosen: Mapping[str, Service]) -> list[str]:
    """The names of the services that run our image."""
    return [name for name, service in chosen.items() if service["image"].startswith("msmctl:")]


def secrets_of(service: Service) -> list[str]:
    """Paths inside the volume `secrets` that a service sees; an empty one is all of it."""
    return [
        volume.get("volume", {}).get("subpath", "")
        for volume in service.get("volumes", [])
        if volume["source"] == "secrets"
    ]
