"""What runs and what is ready, found out by asking."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from services.settings import Settings
from services.stack.children import Child
from services.stack.endpoints import remembered
from services.stack.layout import Layout
from services.stack.processes import Process, declare
from services.stack.supervisor import read_state

NAMES = ("supervisor", "elasticsearch", "redis", "dispatcher", "worker", "models", "api", "gateway")


@dataclass(frozen=True)
class ProcessStatus:
    """One process as `msmctl status` shows it. `reason` says why it is not ready."""

    name: str
    pid: int | None
    port: int | None
    url: str | None
    ready: bool
    reason: str | None = None


def supervisor_of(layout: Layout) -> Child | None:
    """The supervisor of this home if it runs."""
    entry = read_state(layout).get("supervisor")
    child = Child.load(entry) if entry else None
    return child if child and child.alive else None


def status(settings: Settings) -> list[ProcessStatus]:
    """Every process of the stack, in the order of `NAMES`; all down before the first `up`."""
    layout = Layout.of(settings)
    supervisor = supervisor_of(layout)
    first = ProcessStatus(
        "supervisor",
        supervisor.pid if supervisor else None,
        None,
        None,
        supervisor is not None,
        None if supervisor else "not running",
    )
    state = remembered(settings)
    if not state:
        return [first, *(ProcessStatus(name, None, None, None, False, "never started") for name in NAMES[1:])]
    entries = read_state(layout).get("processes", {})
    declared = declare(settings, state)
    with ThreadPoolExecutor(len(declared)) as pool:
        return [first, *pool.map(lambda process: one(process, entries), declared)]


def one(process: Process, entries: Mapping[str, Any]) -> ProcessStatus:
    """Ask one process."""
    child = Child.load(entries[process.name]) if process.name in entries else None
    if process.command is None:
        pid, reason = None, process.probe()
    elif child is None or not child.alive:
        pid, reason = None, "not running"
    else:
        pid, reason = child.pid, process.probe()
    return ProcessStatus(process.name, pid, process.port, process.url, reason is None, reason)
