"""The end of a run: its model as a folder, and what the held-out queries say of it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from services.jobs.kind import Receipt
from services.training import checkpoints, data
from services.training.chunk import lay_out
from services.training.evaluate import reranked
from services.training.run import Run
from services.training.task import Scored, Task


def assemble(run: Run, receipt: Receipt, folder: Path) -> Path:
    """The model of a receipt as a folder of its own files."""
    with tempfile.TemporaryDirectory(prefix="msmctl-train-") as name:
        laid = lay_out(run, receipt, Path(name) / "from")
        for path in sorted(laid.rglob("*")):
            if path.is_file() and path.name not in checkpoints.STATE:
                target = folder / path.relative_to(laid)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
    return folder


def measures(run: Run, model: Path) -> dict[str, Any]:
    """What the held-out queries say of the base (where it can be asked) and of the model."""
    if not run.plan.counts["held_out_queries"]:
        return {}
    fresh_head = run.method.makes == "cross-encoder" and run.base.makes != "cross-encoder"
    *before, after = _reranked(run, [str(model)] if fresh_head else [None, str(model)])
    return {"before": before[0] if before else None, "after": after}


def _reranked(run: Run, models: Sequence[str | None]) -> list[dict[str, Any]]:
    """The held-out lists reranked by each of some models, in one process; None: by the base."""
    rows = run.rows(run.plan.held_out)
    with tempfile.TemporaryDirectory(prefix="msmctl-train-") as scratch:
        columns = {
            "query": run.texts.query(rows["qord"].tolist()),
            "passage": run.texts.passage(rows["ord"].tolist()),
        }
        data.write_columns(columns, Path(scratch) / "data.parquet")
        task = Task(
            work="score",
            recipe=run.recipe,
            base=run.base,
            scratch=scratch,
            models=tuple(models),
            data=str(Path(scratch) / "data.parquet"),
            precision=run.plan.precision,
            threads=run.plan.threads,
            device=run.context.settings.device,
        )
        scored = [event for event in run.events(task, 0) if isinstance(event, Scored)]
    return [reranked(rows, np.array(one.scores, np.float32)) for one in scored]
