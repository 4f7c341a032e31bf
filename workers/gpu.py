"""One worker per GPU: `python -m workers.gpu`. Each sees its own device only and works on `gpu` and `train`.

The parent loads no CUDA. It starts again a worker that dies, beats while all of them beat, and passes
SIGTERM on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from services.stack import heartbeat
from workers.beat import beat

TICK = 1.0
LONGEST_PAUSE = 60.0


def devices(environ: Mapping[str, str]) -> list[str]:
    """What CUDA_VISIBLE_DEVICES may name: its own entries if it is set, else all devices of the machine."""
    given = environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip()]
    # In a child: a process that has touched CUDA must not be the parent of others that use it.
    done = subprocess.run(
        [sys.executable, "-c", "import torch; print(torch.cuda.device_count())"],
        capture_output=True,
        text=True,
        check=True,
    )
    return [str(n) for n in range(int(done.stdout))]


class Worker:
    """The worker of one device."""

    def __init__(self, device: str, number: int, command: list[str]) -> None:
        path = os.environ.get(heartbeat.VARIABLE)
        self.beat = Path(f"{path}.{number}") if path else None
        self._command = [*command, "--name", f"gpu{number}"]
        self._environment = os.environ | {"CUDA_VISIBLE_DEVICES": device}
        if self.beat:
            self._environment[heartbeat.VARIABLE] = str(self.beat)
        self._process: subprocess.Popen[bytes] | None = None
        self._pause = 1.0
        self._due = 0.0

    @property
    def beats(self) -> bool:
        """Whether it shows its sign of life."""
        return self.beat is not None and heartbeat.silence(self.beat) is None

    def tend(self) -> None:
        """Start it if it does not run; after a death with a growing pause."""
        if self._process is not None and self._process.poll() is None:
            return
        now = time.monotonic()
        if self._process is not None:
            print(f"{self._command[-1]} ended with {self._process.returncode}", file=sys.stderr, flush=True)
            self._process, self._due = None, now + self._pause
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
        if now >= self._due:
            self._process = subprocess.Popen(self._command, env=self._environment)

    def end(self) -> None:
        """Pass SIGTERM on."""
        if self._process is not None:
            self._process.terminate()

    def wait(self) -> None:
        """Until it has ended."""
        if self._process is not None:
            self._process.wait()


def run(names: list[str], command: list[str], stop: threading.Event) -> None:
    """Keep one worker per device until `stop` is set; then end them all.

    Args:
        names: Devices, as CUDA_VISIBLE_DEVICES may name them.
        command: Of a worker, without its name.
        stop: Set by SIGTERM.
    """
    workers = [Worker(name, number, command) for number, name in enumerate(names)]
    while not stop.is_set():
        for worker in workers:
            worker.tend()
        if all(worker.beats for worker in workers):
            beat()
        stop.wait(TICK)
    for worker in workers:
        worker.end()
    for worker in workers:
        worker.wait()


def main() -> None:
    """Run until SIGTERM."""
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    names = devices(os.environ)
    if not names:
        sys.exit("no GPU is visible: is the NVIDIA container toolkit installed, and the profile right?")
    run(names, [sys.executable, "-m", "workers.worker", "--queues", "gpu,train"], stop)


if __name__ == "__main__":
    main()
