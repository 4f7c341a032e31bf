"""One training run, as its job's chunks see it: what it starts from, what it is bound to, what it makes."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from services.collections.collection import Collection
from services.errors import MsmError
from services.jobs.kind import Context, Receipt, Unfinished
from services.negatives.opening import Opened
from services.store import Part
from services.training import checkpoints, costs, data, plan, process
from services.training.base import Base, open_base
from services.training.curve import Curve
from services.training.evaluate import reranked
from services.training.methods import Method, Rows, Texts, method_named
from services.training.plan import TrainingPlan
from services.training.precision import fitting
from services.training.recipe import Recipe
from services.training.sources import fingerprints, open_candidates
from services.training.task import Cut, Event, Saved, Scored, Step, Task
from services.training.trained import CURVE

CHUNK_SECONDS = 120.0
_LONGEST = 240.0
"""Seconds of training after which a process ends, whatever was measured before: a kill loses no more."""
_MOST_STEPS = 16_384
"""Steps whose texts are laid out for one process."""
_WARM, _MEASURED = 2, 6
"""Steps that are run to measure one: the first ones, which are slower, do not count."""


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
        costs.require_room(self.context.store, self.base)
        opened = self.opened()
        self.context.status("making examples")
        made = data.make(opened, self.method, self.recipe, self.context.checkpoint)
        precision, threads = self.precision()
        seconds = None
        if self.recipe.steps is None or self.recipe.chunk_steps is None:
            seconds = self.measure(made.examples, precision, threads).step
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
                examples=data.write_rows(store, self.key, made.examples),
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
        return steps, self.recipe.chunk_steps or max(1, round(CHUNK_SECONDS / step))

    def measure(self, examples: Rows, precision: Any, threads: int) -> Pace:
        """What steps take: the mean of some, after a few that warm up."""
        self.context.status("measuring the speed")
        count, began = _WARM + _MEASURED, time.monotonic()
        with tempfile.TemporaryDirectory(prefix="msmctl-train-") as scratch:
            task = self._task(Path(scratch), examples, 0, count, count, precision, threads, None, "measure")
            steps = [event for event in self._events(task, 0) if isinstance(event, Step)]
        last = steps[-1]
        each = (last.seconds - steps[_WARM - 1].seconds) / (len(steps) - _WARM)
        return Pace(max(each, 1e-4), time.monotonic() - began - last.seconds, last.memory, last.device_memory)

    # -- a chunk -----------------------------------------------------------------------------------

    def train(self, lo: int, hi: int, previous: Receipt | None) -> Receipt:
        """Train the steps `lo <= step < hi` from the checkpoint that `previous` vouches for.

        Raises:
            Unfinished: the time of one process is up; it has kept how far it came.
        """
        fixed, store = self.plan, self.context.store
        begin = max(lo, previous.facts.get("step", lo)) if previous else lo
        with tempfile.TemporaryDirectory(prefix="msmctl-train-") as name:
            scratch = Path(name)
            checkpoint = self._lay_out(previous, scratch / "from") if previous else None
            before = Curve.read(checkpoint / CURVE) if checkpoint else Curve()
            examples = self.rows(fixed.examples)
            end = min(hi, begin + _MOST_STEPS)
            task = self._task(
                scratch,
                examples,
                begin,
                end,
                fixed.steps,
                fixed.precision,
                fixed.threads,
                checkpoint,
                "train",
            )
            events = self._events(task, lo)
            steps = [event for event in events if isinstance(event, Step)]
            saved = next(event for event in events if isinstance(event, Saved))
            curve = before.with_rows(
                [(step.step, step.loss or 0.0, step.rate, step.seconds) for step in steps]
            )
            curve.write(Path(saved.folder) / CURVE)
            parts, files = checkpoints.write_checkpoint(store, self.key, Path(saved.folder), saved.step)
        checkpoints.remove_before(store, self.key, begin, kept=(0, *fixed.snapshots))
        seen = sum(task.sizes[: saved.step - begin])
        first, last = Curve(curve.rows[len(before.rows) :]).ends()
        speed = seen / max(steps[-1].seconds, 1e-9)
        self.context.log(
            f"steps {begin} to {saved.step}: loss {first:.4f} to {last:.4f}, {speed:.1f} examples/s on {saved.device}"
        )
        receipt = Receipt(
            rows=seen + (previous.rows if previous and begin > lo else 0),
            bytes=sum(part.bytes for part in parts),
            parts=parts,
            facts={
                "step": saved.step,
                "files": files,
                "device": saved.device,
                "examples_per_second": round(speed, 2),
            },
        )
        if saved.step < hi:
            raise Unfinished(receipt)
        return receipt

    def _lay_out(self, receipt: Receipt, folder: Path) -> Path:
        return checkpoints.lay_out(
            self.context.store, self.key, receipt.parts, receipt.facts["files"], folder
        )

    def _task(
        self,
        scratch: Path,
        examples: Rows,
        lo: int,
        hi: int,
        total: int,
        precision: Any,
        threads: int,
        checkpoint: Path | None,
        work: Any,
    ) -> Task:
        batches = data.steps_of(examples, self.method, self.recipe, self.base, self.texts, lo, hi)
        rows = np.concatenate(batches)
        columns = self.method.columns({name: column[rows] for name, column in examples.items()}, self.texts)
        data.write_columns(columns, scratch / "data.parquet")
        return Task(
            work=work,
            recipe=self.recipe,
            base=self.base,
            scratch=str(scratch),
            checkpoint=None if checkpoint is None else str(checkpoint),
            data=str(scratch / "data.parquet"),
            sizes=tuple(len(batch) for batch in batches),
            lo=lo,
            hi=hi,
            total=total,
            seconds=_LONGEST if work == "train" else None,
            precision=precision,
            threads=threads,
            device=self.context.settings.device,
        )

    def _events(self, task: Task, lo: int) -> list[Event]:
        """Run a task to its end, telling how it goes."""
        done = task.lo
        found: list[Event] = []

        def alive() -> None:
            self.context.checkpoint(done - lo)

        for event in process.run(task, alive):
            found.append(event)
            if isinstance(event, Cut):
                self.context.log(
                    f"step {event.step}: out of memory; goes on with {event.size} examples at a time"
                )
            if isinstance(event, Step):
                done = event.step
                if event.loss is None:
                    raise MsmError(
                        f"step {event.step}: the loss or its gradient is no number any more",
                        hint="a lower rate (--set learning_rate=…), or --set precision=fp32",
                    )
                if task.work == "train":
                    self.context.status(f"step {event.step:,} of {task.total:,}, loss {event.loss:.4f}")
        return found

    # -- the end -----------------------------------------------------------------------------------

    def assemble(self, receipt: Receipt, folder: Path) -> Path:
        """The model of a receipt as a folder of its own files."""
        with tempfile.TemporaryDirectory(prefix="msmctl-train-") as name:
            laid = self._lay_out(receipt, Path(name) / "from")
            for path in sorted(laid.rglob("*")):
                if path.is_file() and path.name not in checkpoints.STATE:
                    target = folder / path.relative_to(laid)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(path.read_bytes())
        return folder

    def measures(self, model: Path) -> dict[str, Any]:
        """What the held-out queries say of the base (where it can be asked) and of the model."""
        if not self.plan.counts["held_out_queries"]:
            return {}
        fresh_head = self.method.makes == "cross-encoder" and self.base.makes != "cross-encoder"
        return {
            "before": None if fresh_head else self._reranked(None),
            "after": self._reranked(model),
        }

    def _reranked(self, model: Path | None) -> dict[str, Any]:
        """The held-out lists reranked by a model; None: by the base."""
        rows = self.rows(self.plan.held_out)
        with tempfile.TemporaryDirectory(prefix="msmctl-train-") as name:
            scratch = Path(name)
            columns = {
                "query": self.texts.query(rows["qord"].tolist()),
                "passage": self.texts.passage(rows["ord"].tolist()),
            }
            data.write_columns(columns, scratch / "data.parquet")
            task = Task(
                work="score",
                recipe=self.recipe,
                base=self.base,
                scratch=name,
                checkpoint=None if model is None else str(model),
                data=str(scratch / "data.parquet"),
                precision=self.plan.precision,
                threads=self.plan.threads,
                device=self.context.settings.device,
            )
            (scored,) = (event for event in self._events(task, 0) if isinstance(event, Scored))
        return reranked(rows, np.array(scored.scores, np.float32))
