"""Train: a model by a recipe, from checkpoint to checkpoint, each chunk in a process of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal

from services.collections.collection import Collection
from services.errors import Conflict
from services.jobs.kind import Chunk, Context, Estimate, Kind, Queue, Receipt, Spec
from services.meter import PeakMemory
from services.models.entry import slug_of
from services.training import costs, register
from services.training.card import CARD, card, software
from services.training.chunk import train
from services.training.curve import Curve
from services.training.ending import assemble, measures
from services.training.loading import require_fitting
from services.training.recipe import Recipe
from services.training.run import CHUNK_SECONDS, Run
from services.training.survey import survey
from services.training.trained import CURVE, PICTURE, TrainedModel, find_trained, keep

_FOLDER = "training"


class TrainSpec(Spec):
    """A recipe, as it shall be run, on one split."""

    kind: Literal["train"] = "train"
    name: str
    split: str
    recipe: Recipe

    @property
    def title(self) -> str:
        """Such as `train ce-bce squad/train ce-squad`."""
        return f"train {self.recipe.name} {self.collection}/{self.split} {self.name}"


class TrainKind(Kind[TrainSpec]):
    """A chunk is a range of steps: two minutes as measured. What takes longer goes on in another process."""

    name = "train"
    queue: ClassVar[Queue] = "train"
    sequential = True
    soft_limit = 3600.0
    hard_limit = 3660.0
    spec_type = TrainSpec

    def fresh(self, context: Context, spec: TrainSpec) -> str | None:
        """The model of that name, if it was made by this recipe from what there is now."""
        model = find_trained(context.store, spec.name)
        if model is None or not _same(model, spec):
            return None
        run = _run(context, spec)
        if model.inputs != run.inputs(run.opened()):
            return None
        return f"model '{spec.name}' was trained so already"

    def requires(self, context: Context, spec: TrainSpec) -> list[Spec]:
        """No other job; but what can be known to be wrong is said now.

        Raises:
            Conflict: the name is taken.
            MsmError: the base, the runs or the scores are not there, or do not fit the recipe.
        """
        model = find_trained(context.store, spec.name)
        if model is not None and not spec.nonce:
            raise Conflict(
                f"model '{spec.name}' exists already, made by another recipe or from other data",
                hint="choose another --name, or --force to make it anew",
            )
        run = _run(context, spec)
        register.check(context.store, spec.name, run.method.makes, ours=model is not None)
        require_fitting(run.base, spec.recipe)
        run.opened()
        return []

    def plan(self, context: Context, spec: TrainSpec) -> list[Chunk]:
        """Ranges of steps; how many is measured here and then fixed."""
        return [Chunk(n=n, lo=lo, hi=hi) for n, (lo, hi) in enumerate(_run(context, spec).fix_plan().ranges)]

    def run_chunk(self, context: Context, spec: TrainSpec, chunk: Chunk) -> Receipt:
        """Train some steps and write a checkpoint."""
        return train(_run(context, spec), chunk.lo, chunk.hi, context.previous)

    def finish(self, context: Context, spec: TrainSpec, receipts: Sequence[Receipt]) -> dict[str, Any]:
        """Evaluate, write the card, keep and register the model; remove the checkpoints.

        Raises:
            Conflict: another job has made a model of that name meanwhile.
        """
        run = _run(context, spec)
        kept = find_trained(context.store, spec.name)
        if kept is not None and kept.job != context.job_id and not spec.nonce:
            raise Conflict(
                f"a model '{spec.name}' was made meanwhile by {kept.job}",
                hint="train under another --name, or with --force",
            )
        if kept is None or kept.job != context.job_id:  # else: a second execution
            ends = [hi for _, hi in run.plan.ranges]
            for step in run.plan.snapshots:
                snapshot = _kept(run, spec, f"{spec.name}-{step}", receipts[: ends.index(step) + 1])
                register.add(context.store, snapshot)
            kept = _kept(run, spec, spec.name, receipts)
        register.add(context.store, kept)
        _remove_checkpoints(context, spec.name)
        return _result(context, kept)

    def estimate(self, context: Context, spec: TrainSpec) -> Estimate:
        """Chunks, examples, bytes in the store; what no run like this has measured yet is 0 or None."""
        run = _run(context, spec)
        steps, seconds = costs.estimate(context.store, spec.recipe, run.base)
        if spec.recipe.chunk_steps:
            chunks = -(-steps // spec.recipe.chunk_steps)
        else:
            chunks = max(1, round((seconds or 0.0) / CHUNK_SECONDS))
        return Estimate(
            chunks=chunks,
            rows=steps * spec.recipe.batch,
            bytes=costs.room(run.base, spec.recipe),
            seconds=seconds,
        )

    def measure(self, context: Context, spec: TrainSpec) -> Estimate:
        """All of it, from some steps in a training process; 0 `startup`: every chunk has its own."""
        from services.models.torch_runtime import device_name, prepared

        peak = PeakMemory()
        run = _run(context, spec)
        found = survey(run)
        settings = context.settings
        return Estimate(
            chunks=found.chunks,
            rows=found.steps * spec.recipe.batch,
            bytes=costs.room(run.base, spec.recipe),
            queries=found.queries,
            pairs=found.examples,
            seconds=found.seconds,
            device=device_name(prepared(settings.device, settings.threads).type),
            memory=peak.bytes + found.pace.memory,
            device_memory=found.pace.device_memory,
        )


def _run(context: Context, spec: TrainSpec) -> Run:
    collection = Collection.open(context.store, spec.collection, spec.collection_version)
    key = f"{_FOLDER}/{slug_of(spec.name)}/{context.job_id}"
    return Run(context, collection, spec.split, spec.recipe, key)


def _same(model: TrainedModel, spec: TrainSpec) -> bool:
    asked = (spec.recipe.model_dump(mode="json"), spec.collection, spec.split)
    return asked == (model.recipe, model.collection, model.split)


def _kept(run: Run, spec: TrainSpec, name: str, receipts: Sequence[Receipt]) -> TrainedModel:
    """Put a model together from the checkpoint of the last receipt, with card and curve."""
    context, fixed = run.context, run.plan
    with tempfile.TemporaryDirectory(prefix="msmctl-train-") as scratch:
        folder = assemble(run, receipts[-1], Path(scratch) / "model")
        curve = Curve.read(folder / CURVE)
        context.status("evaluating")
        measured = measures(run, folder)
        first, last = curve.ends()
        about = {
            "name": name,
            "makes": run.method.makes,
            "collection": spec.collection,
            "split": spec.split,
            "recipe": spec.recipe.model_dump(mode="json"),
            "inputs": fixed.inputs,
            "data": fixed.counts,
            "training": {
                "steps": curve.rows[-1][0],
                "of": fixed.steps,
                "examples": sum(receipt.rows for receipt in receipts),
                "seconds": round(curve.seconds, 1),
                "examples_per_second": round(
                    sum(receipt.rows for receipt in receipts) / max(curve.seconds, 1e-9), 2
                ),
                "first_loss": round(first, 6),
                "last_loss": round(last, 6),
                "precision": fixed.precision,
                "threads": fixed.threads,
                "device": receipts[-1].facts["device"],
            },
            "measures": measured,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "job": context.job_id,
            "software": software(),
        }
        curve.draw(folder / PICTURE, name)
        (folder / CARD).write_text(card(about, spec.recipe, run.base), "utf-8")
        model = keep(context.store, folder, about)
    context.log(f"model '{name}' lies in {context.store.location(model.folder)}")
    return model


def _remove_checkpoints(context: Context, name: str) -> None:
    """This job's, and those of ended jobs that were to make the same model."""
    home = f"{_FOLDER}/{slug_of(name)}"
    for job in context.store.children(home):
        if job == context.job_id or context.job_ended(job):
            context.store.remove(f"{home}/{job}")


def _result(context: Context, model: TrainedModel) -> dict[str, Any]:
    return {
        "model": model.name,
        "makes": model.makes,
        "folder": context.store.location(model.folder),
        **{key: model.training[key] for key in ("steps", "examples", "seconds", "first_loss", "last_loss")},
        **{key: model.data[key] for key in ("queries", "queries_left_out")},
        "before": model.measures.get("before"),
        "after": model.measures.get("after"),
    }
