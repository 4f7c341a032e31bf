"""A chunk of a run: from the checkpoint that the ledger vouches for to the next one."""

from __future__ import annotations

import tempfile
from pathlib import Path

from services.jobs.kind import Receipt, Unfinished
from services.training import checkpoints
from services.training.curve import Curve
from services.training.methods import Examples
from services.training.run import Run
from services.training.task import Saved, Step
from services.training.trained import CURVE

_LONGEST = 240.0
"""Seconds of training after which a process ends, whatever was measured before: a kill loses no more."""
_MOST_EXAMPLES = 65_536
"""Examples whose texts are laid out for one process."""
_SPARE = 2.0
"""Steps are laid out for so many times as long, where it is known what one takes: it may go faster."""


def train(run: Run, lo: int, hi: int, previous: Receipt | None) -> Receipt:
    """Train the steps `lo <= step < hi`.

    Args:
        run: The run.
        lo: Where the chunk begins.
        hi: Where it ends.
        previous: Says from which checkpoint: that of the chunk before, or one inside this chunk.

    Raises:
        Unfinished: the time of one process is up; it has kept how far it came.
    """
    begin = max(lo, previous.facts.get("step", lo)) if previous else lo
    with tempfile.TemporaryDirectory(prefix="msmctl-train-") as scratch:
        receipt = _trained(run, lo, begin, _end(run, begin, hi), previous, Path(scratch))
    checkpoints.remove_before(run.context.store, run.key, begin, kept=(0, *run.plan.snapshots))
    if previous and begin > lo:
        receipt = receipt.model_copy(update={"rows": receipt.rows + previous.rows})
    if receipt.facts["step"] < hi:
        raise Unfinished(receipt)
    return receipt


def _end(run: Run, begin: int, hi: int) -> int:
    """How far steps are laid out: no further than one process may come."""
    most = _MOST_EXAMPLES / run.recipe.batch
    if run.plan.seconds_per_step:
        most = min(most, _SPARE * _LONGEST / run.plan.seconds_per_step)
    return min(hi, begin + max(1, int(most)))


def lay_out(run: Run, receipt: Receipt, folder: Path) -> Path:
    """The checkpoint of a receipt as a folder."""
    return checkpoints.lay_out(run.context.store, run.key, receipt.parts, receipt.facts["files"], folder)


def _trained(run: Run, lo: int, begin: int, end: int, previous: Receipt | None, scratch: Path) -> Receipt:
    """One process, which comes to `end` or as far as its time goes; its checkpoint in the store."""
    fixed = run.plan
    checkpoint = lay_out(run, previous, scratch / "from") if previous else None
    before = Curve.read(checkpoint / CURVE) if checkpoint else Curve()
    task = run.task(
        scratch,
        Examples(run.rows(fixed.examples), run.rows(fixed.apart)),
        begin,
        end,
        work="train",
        total=fixed.steps,
        seconds=_LONGEST,
        checkpoint=str(checkpoint) if checkpoint else None,
        precision=fixed.precision,
        threads=fixed.threads,
    )
    events = run.events(task, lo, [row[1] for row in before.rows])
    steps = [event for event in events if isinstance(event, Step)]
    saved = next(event for event in events if isinstance(event, Saved))
    rows = [(step.step, step.loss or 0.0, step.rate, step.seconds) for step in steps]
    before.with_rows(rows).write(Path(saved.folder) / CURVE)
    parts, files = checkpoints.write_checkpoint(run.context.store, run.key, Path(saved.folder), saved.step)
    seen = sum(task.sizes[: saved.step - begin])
    speed = seen / max(steps[-1].seconds, 1e-9)
    first, last = Curve().with_rows(rows).ends()
    run.context.log(
        f"steps {begin} to {saved.step}: loss {first:.4f} to {last:.4f}, "
        f"{speed:.1f} examples/s on {saved.device}"
    )
    return Receipt(
        rows=seen,
        bytes=sum(part.bytes for part in parts),
        parts=parts,
        facts={
            "step": saved.step,
            "files": files,
            "device": saved.device,
            "examples_per_second": round(speed, 2),
        },
    )
