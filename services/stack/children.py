"""Start, recognise and stop processes.

A process is known by its id and its start time, so that an id which the kernel gave to a stranger is never
taken for ours. Each one leads a session of its own; whatever is left in that session belongs to it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil


@dataclass(frozen=True)
class Child:
    """A process that we started, now or in an earlier life of the supervisor."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> Child:
        """The running process with this id."""
        return cls(pid, psutil.Process(pid).create_time())

    @classmethod
    def load(cls, value: Mapping[str, Any]) -> Child:
        """From `as_dict`."""
        return cls(int(value["pid"]), float(value["started"]))

    def as_dict(self) -> dict[str, Any]:
        """For the state file."""
        return asdict(self)

    @property
    def alive(self) -> bool:
        """Whether it still runs (a zombie does not)."""
        try:
            process = psutil.Process(self.pid)
            return self._same(process) and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def _same(self, process: psutil.Process) -> bool:
        return abs(process.create_time() - self.started) < 0.05

    def members(self) -> Iterator[psutil.Process]:
        """The live processes of its session, itself included.

        The kernel does not reuse an id while a session bears it; a leader with another start time means
        that our session ended long ago.
        """
        with contextlib.suppress(psutil.NoSuchProcess):
            if not self._same(psutil.Process(self.pid)):
                return
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                if (
                    os.getsid(process.pid) == self.pid
                    and process.create_time() >= self.started - 0.05
                    and process.status() != psutil.STATUS_ZOMBIE
                ):
                    yield process

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone; it may be gone already."""
        with contextlib.suppress(ProcessLookupError):
            if self.alive:
                os.kill(self.pid, number)

    def sweep(self) -> None:
        """Kill whatever is left of its session."""
        for process in self.members():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def spawn(
    command: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path, uid: int | None = None
) -> Child:
    """Start a process in its own session, with nothing but a log to write to.

    Args:
        command: Program and arguments.
        environment: All of it.
        folder: Working directory.
        log: Gets stdout and stderr, appended.
        uid: Run as this user and group instead of our own.

    Raises:
        OSError: it cannot be started.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(command),
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
            umask=0o077 if uid is not None else -1,
        )
    # Its end is seen by `reap` and `alive`, not by this object.
    process.returncode = 0
    return Child.of(process.pid)


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
    for child, grace in children:
        while child.alive and time.monotonic() - begun < grace:
            reap()
            time.sleep(0.05)
        child.sweep()
    for child, _ in children:  # a killed process needs a moment
        while child.alive and time.monotonic() - begun < 120:
            reap()
            time.sleep(0.02)
    reap()
