"""A stack with short leases, and hands on every process of it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import redis

from services.jobs.ledger import Ledger
from services.jobs.records import Job
from services.settings import Settings
from services.stack.status import status
from workers.app import broker_url

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".cache" / "chaos-home"
MSMCTL = Path(sys.executable).parent / "msmctl"
ENVIRONMENT = {"MSM_HOME": str(HOME), "MSM_ES_HEAP": "512m", "MSM_LEASE_SECONDS": "3", "MSM_WINDOW": "6"}
SEED = 20_261_121


@dataclass
class Chaos:
    """The stack, its processes, and commands on it."""

    settings: Settings
    ledger: Ledger
    random: random.Random

    def command(self, *arguments: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """A running `msmctl`."""
        return subprocess.Popen(
            [MSMCTL, *arguments],
            env=os.environ | ENVIRONMENT | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, environment: dict[str, str] | None = None, timeout: float = 200) -> Any:
        """What `msmctl` says with `--json`; it must succeed."""
        return self.answer(self.command(*arguments, "--json", environment=environment), timeout)

    @staticmethod
    def answer(process: subprocess.Popen[str], timeout: float = 200) -> Any:
        """The JSON of a running command that must succeed."""
        out, err = process.communicate(timeout=timeout)
        assert process.returncode == 0, err
        return json.loads(out) if out.strip() else None

    def up(self) -> None:
        """Bring up what does not run."""
        if all(process.ready for process in status(self.settings)):
            return
        done = subprocess.run(
            [MSMCTL, "up"], env=os.environ | ENVIRONMENT, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stderr

    def process(self, name: str) -> psutil.Process:
        """A process of the stack; waits while it is being started again."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(psutil.NoSuchProcess, KeyError):
                return psutil.Process(self.pids()[name])
            time.sleep(0.2)
        raise AssertionError(f"{name} does not come back")

    def pids(self) -> dict[str, int]:
        """The running processes, by name."""
        return {one.name: one.pid for one in status(self.settings) if one.pid}

    def kill(self, name: str) -> None:
        """`kill -9`."""
        self.process(name).kill()

    def child(self) -> psutil.Process:
        """The worker's child, which does the work."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for process in self.process("worker").children():
                if "resource_tracker" not in " ".join(process.cmdline()):
                    return process
            time.sleep(0.1)
        raise AssertionError("the worker has no child")

    @property
    def broker(self) -> redis.Redis:
        """A connection to Redis as the workers have it."""
        return redis.Redis.from_url(broker_url(self.settings))

    def newest(self, kind: str, after: str) -> Job:
        """The newest open job of a kind that was created after a time; waits for it."""
        return self.until(
            lambda: next(
                (job for job in self.ledger.jobs() if job.kind == kind and job.created > after), None
            )
        )

    @staticmethod
    def until(ask: Callable[[], Any], timeout: float = 90) -> Any:
        """Wait for a true answer, bearing outages."""
        from services.errors import Unavailable

        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with contextlib.suppress(Unavailable):
                if found := ask():
                    return found
            time.sleep(0.1)
        raise AssertionError("it never came true")


@contextlib.contextmanager
def stopped(processes: Sequence[psutil.Process]) -> Iterator[None]:
    """SIGSTOP, and SIGCONT afterwards."""
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
