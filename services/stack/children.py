"""Start, recognise and stop processes.

A process is known by its id and its start time since boot, so that an id which the kernel gave to a
stranger is never taken for ours. Each one leads a session of its own; what is left in that session and has
our MSM_HOME in its environment belongs to it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from services.sessions import stand_back

# The shell waits for a line on its stdin and then becomes the command: a process does not begin before the
# supervisor has noted its id, and ends at once when the supervisor dies in between.
GATE = ["/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "sh"]


def _started(pid: int) -> str:
    """When a process started, in a form that no change of the clock disturbs.

    Raises:
        psutil.NoSuchProcess: there is none.
    """
    try:
        # Field 22 of proc(5)'s stat, in ticks since boot; the name before it may hold spaces and brackets.
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}/{ticks}"
    except OSError:  # it ended, or this is no Linux
        return str(psutil.Process(pid).create_time())


@dataclass(frozen=True)
class Child:
    """A process that we started, now or in an earlier life of the supervisor.

    Attributes:
        pid: Process id, and the id of its session.
        started: See `_started`.
        home: MSM_HOME in its environment.
    """

    pid: int
    started: str
    home: str

    @classmethod
    def of(cls, pid: int, home: Path) -> Child:
        """The running process with this id."""
        return cls(pid, _started(pid), str(home))

    @classmethod
    def load(cls, value: Mapping[str, Any]) -> Child:
        """From `as_dict`."""
        return cls(int(value["pid"]), str(value["started"]), str(value["home"]))

    def as_dict(self) -> dict[str, Any]:
        """For the state file."""
        return asdict(self)

    @property
    def alive(self) -> bool:
        """Whether it still runs (a zombie does not)."""
        try:
            return _started(self.pid) == self.started and not _is_zombie(self.pid)
        except psutil.NoSuchProcess:
            return False

    def members(self) -> list[psutil.Process]:
        """The live processes of its session, itself included.

        The kernel does not reuse an id while a session bears it, so a stranger with our id means that our
        session is over.
        """
        with contextlib.suppress(psutil.NoSuchProcess):
            if _started(self.pid) != self.started:
                return []
        return [process for process in psutil.process_iter() if self._is_member(process)]

    def _is_member(self, process: psutil.Process) -> bool:
        try:
            if os.getsid(process.pid) != self.pid or _is_zombie(process.pid):
                return False
            if process.pid == self.pid:
                return True
            try:
                return process.environ().get("MSM_HOME") == self.home
            except psutil.NoSuchProcess:
                return True  # killed: its memory goes a moment before it is a zombie, and it is not gone yet
        except (psutil.Error, OSError):
            return False

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone; it may be gone already."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def sweep(self) -> None:
        """Kill whatever is left of its session."""
        for process in self.members():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def _is_zombie(pid: int) -> bool:
    return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def spawn(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    log: Path,
    uid: int | None = None,
    nice: int = 0,
    note: Callable[[Child], None] = lambda child: None,
) -> Child:
    """Start a process in its own session, with nothing but a log to write to.

    Args:
        command: Program and arguments.
        environment: All of it; MSM_HOME is needed.
        folder: Working directory.
        log: Gets stdout and stderr, appended.
        uid: Run as this user and group instead of our own.
        nice: How far its session stands back where others need the cores; see `services.sessions`.
        note: Called with the child before its command begins.

    Raises:
        OSError: it cannot be started.
    """
    gate, opener = os.pipe()
    with log.open("ab") as output, os.fdopen(gate) as stdin, os.fdopen(opener, "w") as go:
        process = subprocess.Popen(
            [*GATE, *command],
            env=dict(environment),
            cwd=folder,
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
            umask=-1 if uid is None else 0o077,
        )
        child = Child.of(process.pid, Path(environment["MSM_HOME"]))
        note(child)
        stand_back(process.pid, nice)
        print("go", file=go)
    process.returncode = 0  # its end is seen by `reap` and `alive`, not by this object
    return child


def reap() -> None:
    """Collect ended children, so that none stays a zombie."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def stop(children: Sequence[tuple[Child, float]]) -> None:
    """Ask all to end, wait for each up to its grace (seconds), then kill what is left of their sessions."""
    for child, _ in children:
        child.signal(signal.SIGTERM)
    begun = time.monotonic()
    reap()
    for child, grace in children:
        while child.alive and time.monotonic() < begun + grace:
            time.sleep(0.05)
            reap()
        child.sweep()
    until = time.monotonic() + 30  # a killed process needs a moment, longer if it waits for the disk
    while any(child.members() for child, _ in children) and time.monotonic() < until:
        time.sleep(0.05)
        reap()
