"""The background process that keeps the local stack running: `python -m services.stack.supervisor`.

One per MSM_HOME (a lock). It starts what is declared, starts again what dies (with back-off), keeps logs
within bounds, and on SIGTERM stops everything. What it knows it writes to run/supervisor.json, so that after
a `kill -9` of the supervisor alone the next one takes over the running processes as they are.
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from services.errors import MsmError
from services.sessions import stand_back
from services.settings import Settings, load
from services.stack import children, heartbeat, logs, secrets
from services.stack.children import Child
from services.stack.endpoints import remembered
from services.stack.layout import Layout
from services.stack.processes import Process, declare

TICK = 0.25
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
STEADY = 60.0  # seconds of life after which a process counts as healthy again


def read_state(layout: Layout) -> dict[str, Any]:
    """What the last supervisor wrote: `{supervisor: {pid, started}, processes: {name: {…}}}`; else empty."""
    try:
        value: dict[str, Any] = json.loads((layout.run / "supervisor.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value


@dataclass
class Watched:
    """A declared process and what became of it."""

    process: Process
    child: Child | None = None
    starts: int = 0
    pause: float = FIRST_PAUSE
    due: float = 0.0
    since: float = field(default_factory=time.monotonic)


class Supervisor:
    """Keeps the declared processes running until it is told to stop."""

    def __init__(self, settings: Settings) -> None:
        self.layout = Layout.of(settings)
        declared = declare(settings, remembered(settings))
        self.watched = {process.name: Watched(process) for process in declared if process.command is not None}
        self.probes = {process.name: process.probe for process in declared}
        self.been_ready: set[str] = set()
        self.logs_due = 0.0
        self.stopping = False

    def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self._take_over()
        while not self.stopping:
            try:
                self._tick()
            except OSError as error:  # a full disk is no reason to leave the processes alone
                self._say(f"going on after: {error}")
                time.sleep(FIRST_PAUSE)
            time.sleep(TICK)
        self._say("stopping")
        stop_all(self.layout, [watched.process for watched in self.watched.values()])

    def _tick(self) -> None:
        children.reap()
        for watched in self.watched.values():
            self._tend(watched)
        if time.monotonic() >= self.logs_due:
            self.logs_due = time.monotonic() + 10
            logs.bound(self.layout)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    def _say(self, line: str) -> None:
        print(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {line}", flush=True)

    def _take_over(self) -> None:
        """Adopt what an earlier supervisor left running as declared; end what is declared otherwise now."""
        for name, entry in read_state(self.layout).get("processes", {}).items():
            child = Child.load(entry)
            watched = self.watched.get(name)
            if child.alive and watched and entry["fingerprint"] == watched.process.fingerprint:
                watched.child, watched.starts = child, 1
                stand_back(child.pid, watched.process.nice)
                self._say(f"{name}: taken over, pid {child.pid}")
            else:
                children.stop([(child, watched.process.grace if watched else 10.0)])
        self._write()

    def _tend(self, watched: Watched) -> None:
        now = time.monotonic()
        if watched.child is not None:
            if watched.child.alive:
                if now - watched.since > STEADY:
                    watched.pause = FIRST_PAUSE
                return
            self._say(
                f"{watched.process.name}: pid {watched.child.pid} ended; next start in {watched.pause:.1f} s"
            )
            watched.child.sweep()
            watched.child, watched.due = None, now + watched.pause
            watched.pause = min(watched.pause * 2, LONGEST_PAUSE)
        if now >= watched.due and self._may_start(watched.process):
            self._start(watched)

    def _may_start(self, process: Process) -> bool:
        """Whether all that it comes after has been ready once. Later it must bear their absence itself."""
        for name in process.after:
            if name not in self.been_ready:
                if self.probes[name]() is not None:
                    return False
                self.been_ready.add(name)
        return True

    def _start(self, watched: Watched) -> None:
        process = watched.process
        watched.since, watched.starts = time.monotonic(), watched.starts + 1
        if beat := process.environment.get(heartbeat.VARIABLE):
            Path(beat).unlink(missing_ok=True)  # its predecessor's
        try:
            children.spawn(
                process.command or [],
                environment=process.environment,
                folder=self.layout.elastic if process.uid else self.layout.home,
                log=self.layout.log(process.name),
                uid=process.uid,
                nice=process.nice,
                note=lambda child: self._note(watched, child),
            )
        except OSError as error:
            self._say(f"{process.name}: cannot be started: {error}")
            watched.due, watched.pause = watched.since + watched.pause, min(watched.pause * 2, LONGEST_PAUSE)
            return

    def _note(self, watched: Watched, child: Child) -> None:
        watched.child = child
        self._write()
        self._say(f"{watched.process.name}: started, pid {child.pid}")

    def _write(self) -> None:
        processes = {
            name: watched.child.as_dict()
            | {"fingerprint": watched.process.fingerprint, "starts": watched.starts}
            for name, watched in self.watched.items()
            if watched.child is not None
        }
        state = {"supervisor": Child.of(os.getpid(), self.layout.home).as_dict(), "processes": processes}
        secrets.write(self.layout.run / "supervisor.json", json.dumps(state, indent=1))


def stop_all(layout: Layout, processes: list[Process]) -> None:
    """End every process that the state file names: first those that need others, then the others."""
    entries = read_state(layout).get("processes", {})
    known = {process.name: process for process in processes}
    dependent = {name for name in entries if name in known and known[name].after}
    for names in (dependent, entries.keys() - dependent):
        children.stop(
            [(Child.load(entries[name]), known[name].grace if name in known else 10.0) for name in names]
        )


def _raise_file_limit() -> None:
    """Elasticsearch wants many files; what we may open, our children may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> None:
    """Take the lock, or leave: another supervisor serves this home."""
    settings = load()
    layout = Layout.of(settings)
    with (layout.run / "supervisor.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another supervisor serves this home", file=sys.stderr)
            return
        _raise_file_limit()
        try:
            Supervisor(settings).run()
        except MsmError as error:
            sys.exit(f"{error.message}\n{error.hint or ''}")


if __name__ == "__main__":
    main()
