"""The processes of the local stack, as declarations: a further one is one more entry in `declare`."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.settings import Settings
from services.stack import elasticsearch, heartbeat, probes, redis
from services.stack.distribution import Distribution
from services.stack.endpoints import endpoints
from services.stack.layout import Layout
from services.stack.ports import HOST

Probe = Callable[[], str | None]

BACK = 10
"""`nice` of what computes for long: a search is answered meanwhile, and while models are overloaded."""


@dataclass(frozen=True)
class Process:
    """One process: how to start it, when it is ready, how long it may take to end.

    Attributes:
        name: As in `status` and `logs`.
        command: Program and arguments; None for a service that runs elsewhere (MSM_ES_URL, MSM_REDIS_URL).
        probe: None when ready, else the reason why not.
        environment: All of it.
        url, port: Where it answers, if it does.
        after: Processes that must be ready before its first start; it ends before them.
        grace: Seconds between SIGTERM and SIGKILL.
        uid: User to run as; None: our own.
        nice: How far it stands back where others need the cores.
    """

    name: str
    command: list[str] | None
    probe: Probe
    environment: Mapping[str, str] = field(default_factory=dict)
    url: str | None = None
    port: int | None = None
    after: tuple[str, ...] = ()
    grace: float = 10.0
    uid: int | None = None
    nice: int = 0

    @property
    def fingerprint(self) -> str:
        """Changes when a running process is not what this declaration would start.

        Of the environment only our settings count, not what differs from shell to shell.
        """
        settings = sorted(item for item in self.environment.items() if item[0].startswith(("MSM_", "ES_")))
        return hashlib.sha256(json.dumps([self.command, settings]).encode()).hexdigest()


def component_environment(settings: Settings) -> dict[str, str]:
    """The caller's environment with these settings in it, whatever source they came from.

    Settings are absolute where they are folders, so that they mean the same in every working directory.
    """
    given = settings.model_dump(exclude_defaults=True, exclude={"home"})
    fixed = {f"MSM_{name.upper()}": str(value) for name, value in given.items()}
    fixed["MSM_HOME"] = str(settings.home)
    return dict(os.environ) | fixed | {"PYTHONUNBUFFERED": "1"}


def declare(settings: Settings, state: Mapping[str, Any]) -> list[Process]:
    """All processes, in the order in which they start.

    Args:
        settings: Of this installation.
        state: MSM_HOME/stack.json: ports and tools, as `services.stack.control.prepare` wrote it.
    """
    layout, where, ports = Layout.of(settings), endpoints(settings), state["ports"]
    ours = component_environment(settings)
    node = broker = None
    node_environment = {"MSM_HOME": str(layout.home)}
    if not settings.es_url:
        java = state["java"]
        distribution = Distribution(Path(state["elasticsearch"]), Path(java) if java else None)
        node = elasticsearch.command(distribution)
        node_environment |= elasticsearch.environment(layout, distribution)
    if not settings.redis_url:
        broker = redis.command(layout, state["redis"])

    def python(
        name: str, module: str, grace: float, more: Mapping[str, str] | None = None, nice: int = 0
    ) -> Process:
        beat = layout.run / f"{name}.beat"
        return Process(
            name,
            [sys.executable, "-m", module],
            lambda: heartbeat.silence(beat),
            environment=ours | {heartbeat.VARIABLE: str(beat)} | dict(more or {}),
            after=("elasticsearch", "redis"),
            grace=grace,
            nice=nice,
        )

    def listening(
        name: str, module: str, ready: str, grace: float, after: tuple[str, ...], nice: int = 0
    ) -> list[Process]:
        # Once started by an earlier version, a stack has no port for what is newer until it is stopped.
        if name not in ports:
            return []
        url, command = f"http://{HOST}:{ports[name]}", [sys.executable, "-m", module]
        probe = lambda: probes.readiness(f"{url}{ready}")  # noqa: E731
        return [Process(name, command, probe, ours, url, ports[name], after, grace, nice=nice)]

    return [
        Process(
            "elasticsearch",
            node,
            lambda: probes.elasticsearch(settings, where.es_url),
            node_environment,
            url=where.es_url,
            port=None if settings.es_url else ports["elasticsearch"],
            grace=60.0,
            uid=layout.uid,
        ),
        Process(
            "redis",
            broker,
            lambda: probes.redis(settings, where.redis_url),
            {"MSM_HOME": str(layout.home), "PATH": os.defpath},
            url=where.redis_url,
            port=None if settings.redis_url else ports["redis"],
        ),
        python("dispatcher", "workers.dispatcher", 10.0),
        python("worker", "workers.worker", 25.0, {"REMAP_SIGTERM": "SIGQUIT"}, BACK),
        # It needs the store only, so that it waits for nobody.
        *listening("models", "services.inference", "/readyz", 10.0, (), BACK),
        *listening("api", "services.api", "/readyz", 25.0, ("elasticsearch", "redis")),
        *listening("gateway", "services.gateway", "/_msmctl/readyz", 10.0, ("elasticsearch",)),
    ]
