"""The training process from its parent's side: started, told, listened to, ended.

It has a process group of its own, which is killed when the work is over, stopped or fenced; and it ends
by itself when the parent is gone, as its stdin does.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from services.errors import InputError
from services.sessions import stand_alike
from services.training.task import EVENT, Event, Failed, Task

logger = logging.getLogger(__name__)

_LOOK = 0.2
"""Seconds between two calls of `alive`."""
_TAIL = 4000
_ENVIRONMENT = {
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # CUDA's products are repeatable only so
}


class ChildDied(Exception):
    """The training process ended before its work was done: a defect, or it was killed."""


def run(task: Task, alive: Callable[[], None]) -> Iterator[Event]:
    """Do a task in a process of its own; its events as they come.

    Args:
        task: What to do.
        alive: Called several times a second; raises to end the process.

    Raises:
        InputError: the task cannot be done as it is.
        ChildDied: the process ended without a word.
    """
    with tempfile.TemporaryFile() as errors, _Running(errors) as process:
        if process.stdin is None or process.stdout is None:
            raise ChildDied("no pipes to the training process")
        with suppress(BrokenPipeError):
            process.stdin.write(task.model_dump_json().encode() + b"\n")
            process.stdin.flush()
        for line in _lines(process.stdout, alive):
            event = EVENT.validate_json(line)
            if isinstance(event, Failed):
                raise InputError(event.message, hint=event.hint)
            yield event
        if code := process.wait():
            errors.seek(max(os.fstat(errors.fileno()).st_size - _TAIL, 0))
            said = errors.read().decode(errors="replace").strip()
            how = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
            logger.warning("the training process %s: %s", how, said)
            raise ChildDied(f"the training process {how}" + (f": {said.splitlines()[-1]}" if said else ""))


class _Running:
    """A child in a group of its own; the group is gone afterwards."""

    def __init__(self, errors: IO[bytes]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "services.training.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=os.environ | _ENVIRONMENT,
            cwd=Path(__file__).parents[2],
            start_new_session=True,
        )
        stand_alike(self._process.pid)

    def __enter__(self) -> subprocess.Popen[bytes]:
        return self._process

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def _lines(stream: IO[bytes], alive: Callable[[], None]) -> Iterator[bytes]:
    """Lines as they come, until the end of the stream."""
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            alive()
            if not selector.select(_LOOK):
                continue
            read = os.read(stream.fileno(), 1 << 16)
            if not read:
                return
            *lines, pending = (pending + read).split(b"\n")
            yield from lines
