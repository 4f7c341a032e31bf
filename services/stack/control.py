"""`up` and `down`: prepare the files, start or stop the supervisor, wait, explain."""

from __future__ import annotations

import fcntl
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.errors import InputError, Unavailable
from services.settings import Settings
from services.stack import children, elasticsearch, logs, ports, redis, secrets
from services.stack.children import Child
from services.stack.distribution import locate
from services.stack.endpoints import remembered
from services.stack.layout import Layout
from services.stack.processes import component_environment, declare
from services.stack.status import ProcessStatus, status, supervisor_of
from services.stack.supervisor import read_state, stop_all

Say = Callable[[str], None]
PATIENCE = 240.0
QUIET = 15.0  # after which it is told what is waited for
GIVE_UP_AFTER = 3  # starts of one process within one `up`


@contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    """One `up` or `down` at a time per home."""
    try:
        layout.run.mkdir(parents=True, exist_ok=True)
        lock = (layout.run / "control.lock").open("a")
    except OSError as error:
        raise InputError(
            f"MSM_HOME={layout.home} cannot be written: {error.strerror}",
            hint="choose another with --home or MSM_HOME",
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def up(settings: Settings, say: Say) -> tuple[list[ProcessStatus], bool]:
    """Bring everything up and wait until it is ready.

    Returns:
        The processes, and whether anything had to be done.

    Raises:
        Unavailable: a process did not become ready; the message ends with its log's tail.
        MsmError: a tool is missing and could not be installed.
    """
    layout = Layout.of(settings)
    with _alone(layout):
        if supervisor_of(layout) is None:
            _prepare(settings, layout)
            _start_supervisor(settings, layout)
        else:
            present = status(settings)
            if all(process.ready for process in present):
                return present, False
        return _wait(settings, layout, say), True


def down(settings: Settings, say: Say) -> bool:
    """Stop everything, also what a killed supervisor left behind. Returns whether anything ran."""
    layout = Layout.of(settings)
    if not layout.home.is_dir():
        return False
    with _alone(layout):
        supervisor = supervisor_of(layout)
        children_left = [Child.load(entry) for entry in read_state(layout).get("processes", {}).values()]
        if supervisor is None and not any(True for child in children_left for _ in child.members()):
            return False
        say("stopping")
        state = remembered(settings)
        processes = declare(settings, state) if state else []
        if supervisor is not None:
            supervisor.signal(signal.SIGTERM)
            limit = time.monotonic() + sum(process.grace for process in processes) + 10
            while supervisor.alive and time.monotonic() < limit:
                time.sleep(0.05)
            supervisor.signal(signal.SIGKILL)
        stop_all(layout, processes)
        return True


def _prepare(settings: Settings, layout: Layout) -> None:
    """Write everything that the processes need: ports, secrets, configuration, program files."""
    layout.create(elastic=not settings.es_url)
    state = remembered(settings)
    held = [
        name for name, entry in read_state(layout).get("processes", {}).items() if Child.load(entry).alive
    ]
    if "elasticsearch" in held:
        held.append("elasticsearch_transport")
    chosen = ports.choose(layout.home, state.get("ports", {}), held)
    state = {"ports": chosen}
    users = () if settings.es_url else secrets.USERS
    broker = () if settings.redis_url else (secrets.REDIS,)
    secrets.ensure(settings, (*users, *broker, secrets.SEARCHES))
    if not settings.es_url:
        distribution = locate(layout.uid)
        state |= {"elasticsearch": str(distribution.home), "java": str(distribution.java or "")}
        elasticsearch.configure(settings, layout, distribution, chosen)
    if not settings.redis_url:
        state["redis"] = redis.server()
        redis.configure(settings, layout, chosen)
    secrets.write(layout.state, json.dumps(state, indent=1))


def _start_supervisor(settings: Settings, layout: Layout) -> None:
    logs.bound(layout)
    supervisor = children.spawn(
        [sys.executable, "-m", "services.stack.supervisor"],
        environment=component_environment(settings),
        folder=layout.home,
        log=layout.log("supervisor"),
    )
    limit = time.monotonic() + 20
    while (found := supervisor_of(layout)) is None or found.pid != supervisor.pid:
        children.reap()
        if not supervisor.alive or time.monotonic() > limit:
            raise Unavailable(
                _with_log("the supervisor does not start", layout, "supervisor"),
                hint="msmctl logs supervisor",
            )
        time.sleep(0.05)


def _wait(settings: Settings, layout: Layout, say: Say) -> list[ProcessStatus]:
    """Until all are ready; fails early when a process keeps dying."""
    begun = time.monotonic()
    reported: set[str] = set()
    told: dict[str, str | None] = {}
    before = {name: entry["starts"] for name, entry in read_state(layout).get("processes", {}).items()}
    while True:
        present = status(settings)
        for process in present:
            if process.ready and process.name not in reported:
                reported.add(process.name)
                where = process.url or (f"pid {process.pid}" if process.pid else "")
                say(f"{process.name:<14} ready after {time.monotonic() - begun:4.1f} s  {where}")
        waiting = [process for process in present if not process.ready]
        if not waiting:
            return present
        if time.monotonic() - begun > QUIET:
            for process in waiting:
                if told.get(process.name) != process.reason:
                    told[process.name] = process.reason
                    say(f"{process.name:<14} not ready yet: {process.reason}")
        starts = {name: entry["starts"] for name, entry in read_state(layout).get("processes", {}).items()}
        dying = [
            process
            for process in waiting
            if starts.get(process.name, 0) - before.get(process.name, 0) >= GIVE_UP_AFTER
        ]
        if dying or time.monotonic() - begun > PATIENCE or supervisor_of(layout) is None:
            first = (dying or waiting)[0]
            raise Unavailable(
                _with_log(f"{first.name} is not ready: {first.reason}", layout, first.name),
                hint=f"msmctl logs {first.name}; the supervisor keeps trying, `msmctl down` ends it",
            )
        time.sleep(0.2)


def _with_log(message: str, layout: Layout, name: str) -> str:
    lines = logs.tail(layout.log(name), 15)
    return f"{message}\nthe end of {layout.log(name)}:\n" + "\n".join(f"  {line}" for line in lines)
