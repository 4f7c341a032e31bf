"""One training run, as its job's chunks see it: what it starts from, what it is bound to, what it makes."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from services.collections.collection import Collection
from services.errors import MsmError
from services.jobs.kind import Context
from services.negatives.opening import Opened
from services.store import Part
from services.training import costs, data, plan, process
from services.training.base import Base, open_base
from services.training.curve import sparkline
from services.training.methods import Examples, Method, Rows, Texts, method_named
from services.training.plan import TrainingPlan
from services.training.precision import fitting
from services.training.recipe import Recipe
from services.training.sources import fingerprints, open_candidates
from services.training.task import Cut, Event, Step, Task

CHUNK_SECONDS = 120.0
_CURVES = 200
"""A curve is drawn for every step of so many, of twice as many for every other one, and so on."""
_WARM, _MEASURED = 2, 6
"""Steps that are run to measure one: the first ones, which are slower, do not count."""
_SHORT = 5 * (_WARM + _MEASURED)
"""So many steps are one chunk, and not worth measuring: its process ends in time whatever a step takes."""


@dataclass(frozen=True)
class Pace:
    """What steps take: seconds of one, seconds before the first, peak bytes of the training process."""

    step: float
    startup: float
    memory: int
    device_memory: int | None


@dataclass(frozen=True)
class Run:
    """A run.

    Attributes:
        key: Store folder of its checkpoints.
    """

    context: Context
    collection: Collection
    split: str
    recipe: Recipe
    key: str = field(default="")

    @cached_property
    def method(self) -> Method:
        """How it trains."""
        return method_named(self.recipe.method)

    @cached_property
    def base(self) -> Base:
        """What it starts from."""
        return open_base(self.context.store, self.recipe.base, self.method.makes)

    @cached_property
    def texts(self) -> Texts:
        """Of its collection."""
        return data.texts_of(self.collection, self.base)

    @cached_property
    def plan(self) -> TrainingPlan:
        """What it is bound to.

        Raises:
            MsmError: its folder was removed.
        """
        found = plan.read(self.context.store, self.key)
        if found is None:
            raise MsmError(
                f"{self.context.store.location(self.key)}: the run's plan is gone",
                hint="the command that made the job begins anew with --force",
            )
        return found

    def rows(self, part: Part) -> Rows:
        """Examples, or the lists for the evaluation."""
        return data.read_rows(self.context.store, self.key, part)

    def opened(self) -> Opened:
        """The candidates and the negatives among them (see `open_candidates`)."""
        return open_candidates(self.context, self.collection, self.split, self.recipe)

    def inputs(self, opened: Opened) -> dict[str, Any]:
        """Fingerprints of all that decides the result besides the recipe."""
        return fingerprints(self.collection, self.base, opened)

    # -- planning ----------------------------------------------------------------------------------

    def fix_plan(self) -> TrainingPlan:
        """Make the examples, measure where that is needed, and bind the run to it."""
        done = plan.read(self.context.store, self.key)
        if done is not None:
            return done
        costs.require_room(self.context.store, self.base, self.recipe)
        opened = self.opened()
        self.context.status("making examples")
        made = data.make(opened, self.method, self.recipe, self.context.checkpoint)
        self.context.log(data.told(made.counts))
        precision, threads = self.precision()
        seconds = None
        if self.recipe.steps is None or self._chunk_steps is None:
            seconds = self.measure(made, precision, threads).step
            self.context.log(f"{seconds:.3f} s per step of {self.recipe.batch} examples, {precision}")
            costs.remember_speed(self.context.store, self.recipe, self.base, seconds)
        steps, chunk = self.lengths(seconds or 1.0)
        store = self.context.store
        return plan.fix(
            store,
            self.key,
            TrainingPlan(
                steps=steps,
                chunk_steps=min(chunk, steps),
                seconds_per_step=seconds,
                precision=precision,
                threads=threads,
                examples=data.write_rows(store, self.key, made.examples.rows),
                apart=data.write_rows(store, self.key, made.examples.apart),
                held_out=data.write_rows(store, self.key, made.held_out),
                counts=made.counts,
                snapshots=tuple(sorted({max(1, round(share * steps)) for share in self.recipe.snapshots})),
                inputs=self.inputs(opened),
            ),
        )

    def precision(self) -> tuple[Literal["fp32", "bf16"], int]:
        """In what the steps are computed, and on how many threads."""
        threads = self.context.settings.threads or len(os.sched_getaffinity(0))
        return fitting(self.recipe.precision, self.context.settings.device, threads), threads

    def lengths(self, step: float) -> tuple[int, int]:
        """Steps of the run and of a chunk, where one takes so many seconds."""
        steps = self.recipe.steps or max(1, round((self.recipe.minutes or 0) * 60 / step))
        return steps, self._chunk_steps or max(1, round(CHUNK_SECONDS / step))

    @property
    def _chunk_steps(self) -> int | None:
        """Steps from one checkpoint to the next, where no measurement decides that."""
        steps = self.recipe.steps
        return self.recipe.chunk_steps or (steps if steps is not None and steps <= _SHORT else None)

    def measure(self, made: data.Made, precision: Any, threads: int) -> Pace:
        """What steps take: the mean of some, after a few that warm up."""
        self.context.status("measuring the speed")
        count, began = _WARM + _MEASURED, time.monotonic()
        with tempfile.TemporaryDirectory(prefix="msmctl-train-") as scratch:
            how = {"work": "measure", "total": count, "precision": precision, "threads": threads}
            task = self.task(Path(scratch), made.examples, 0, count, **how)
            steps = [event for event in self.events(task, 0) if isinstance(event, Step)]
        last = steps[-1]
        each = (last.seconds - steps[_WARM - 1].seconds) / (len(steps) - _WARM)
        return Pace(max(each, 1e-4), time.monotonic() - began - last.seconds, last.memory, last.device_memory)

    # -- the training process -----------------------------------------------------------------------

    def task(self, scratch: Path, examples: Examples, lo: int, hi: int, **how: Any) -> Task:
        """What a training process shall do in the steps `lo <= step < hi`; their texts are written for it.

        Args:
            scratch: Folder for what it reads and writes.
            examples: All of the run's.
            lo: The first step.
            hi: The one after the last.
            how: The other fields of a `Task`: work, total, precision, threads, …
        """
        batches = data.steps_of(examples, self.method, self.recipe, self.base, self.texts, lo, hi)
        rows = np.concatenate(batches)
        columns = self.method.columns(
            {name: column[rows] for name, column in examples.rows.items()}, self.texts
        )
        data.write_columns(columns, scratch / "data.parquet")
        return Task(
            recipe=self.recipe,
            base=self.base,
            scratch=str(scratch),
            data=str(scratch / "data.parquet"),
            sizes=tuple(len(batch) for batch in batches),
            lo=lo,
            hi=hi,
            device=self.context.settings.device,
            **how,
        )

    def events(self, task: Task, lo: int, losses: Iterable[float] = ()) -> list[Event]:
        """Run a task to its end, telling how it goes.

        Args:
            task: What to do.
            lo: The first step of the chunk.
            losses: Of all steps before the task's.
        """
        done, so_far, curve = task.lo, list(losses), ""
        found: list[Event] = []

        def alive() -> None:
            self.context.checkpoint(done - lo)

        for event in process.run(task, alive):
            found.append(event)
            if isinstance(event, Cut):
                where = "evaluation" if event.step is None else f"step {event.step}"
                self.context.log(f"{where}: out of memory; goes on with {event.size} examples at a time")
            if isinstance(event, Step):
                done = event.step
                if event.loss is None:
                    raise MsmError(
                        f"step {event.step}: the loss or its gradient is no number any more",
                        hint="a lower rate (--set learning_rate=…), or --set precision=fp32",
                    )
                so_far.append(event.loss)
                if len(so_far) % (len(so_far) // _CURVES + 1) == 0:
                    curve = sparkline(so_far)
                if task.work == "train":
                    said = f"step {event.step:,} of {task.total:,}, loss {event.loss:.4f}"
                    self.context.status(f"{said} {curve}".rstrip())
        return found
