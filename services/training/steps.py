"""The steps of one chunk, as callbacks of transformers' trainer: seeds, losses, the end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import BatchSampler
from transformers import TrainerCallback

from services.meter import PeakMemory
from services.training.task import Failed, Step, Task

_STRIDE = 1_000_003  # seeds of neighbouring runs do not meet


def seed_step(seed: int, step: int) -> None:
    """All that a step draws comes from here, whatever was drawn before it, or in a try that failed."""
    torch.manual_seed(seed * _STRIDE + step)


class Steps(TrainerCallback):
    """What happens at each step.

    All randomness inside a step (dropout) comes from (seed, step): nothing of it needs to be kept in a
    checkpoint, and a run that was cut anywhere draws what an undisturbed one draws.

    Attributes:
        failed: Set when the loss is no number any more.
    """

    def __init__(self, task: Task, tell: Callable[[Step | Failed], None]) -> None:
        self.failed: int | None = None
        self._task = task
        self._tell = tell
        self._began = time.monotonic()
        self._peak = PeakMemory()

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Seed the step."""
        seed_step(self._task.recipe.seed, state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save and stop after the last step, or when the time is up."""
        limit = self._task.seconds
        over = limit is not None and time.monotonic() - self._began >= limit
        if state.global_step >= self._task.hi or over:
            control.should_save = self._task.work == "train"
            control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Tell of a step; the trainer's own history would make every checkpoint longer than the last."""
        state.log_history.clear()
        logs = given["logs"]
        if "loss" not in logs:
            return
        loss, norm = float(logs["loss"]), float(logs.get("grad_norm") or 0.0)
        sound = math.isfinite(loss) and math.isfinite(norm)
        self._tell(
            Step(
                step=state.global_step,
                loss=loss if sound else None,
                rate=float(logs.get("learning_rate", 0.0)),
                seconds=time.monotonic() - self._began,
                memory=self._peak.bytes,
                device_memory=self._peak.device_bytes,
            )
        )
        if not sound:
            self.failed = state.global_step
            control.should_save = False
            control.should_training_stop = True


def as_given(sizes: tuple[int, ...], length: int, dataset: Any, **_: Any) -> BatchSampler:
    """The batches of a chunk, as they lie in its data; for `partial`, as the trainer calls it."""
    return _AsGiven(sizes, length)


class _AsGiven(BatchSampler):
    """Batches of given sizes, one after the other. Its length is that of the run: one long epoch."""

    def __init__(self, sizes: tuple[int, ...], length: int) -> None:
        self._sizes = sizes
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[list[int]]:
        at = 0
        for size in self._sizes:
            yield list(range(at, at + size))
            at += size
