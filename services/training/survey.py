"""What a run would take, from some of its steps; nothing is kept."""

from __future__ import annotations

import time
from dataclasses import dataclass

from services.training import data
from services.training.run import Pace, Run

_BLOCKS = 4
"""Blocks of queries whose examples are made."""
_FORWARD = 1 / 3
"""Share of a step's time that computing takes without learning from it."""
_PROCESSES = 2
"""Training processes besides those of the chunks: one measures, one scores the held-out lists."""


@dataclass(frozen=True)
class Survey:
    """Different queries and examples, steps in all, chunks, seconds with all that is around the steps."""

    queries: int
    examples: int
    steps: int
    chunks: int
    seconds: float
    pace: Pace


def survey(run: Run) -> Survey:
    """Make examples of the first queries and train some steps on them.

    Raises:
        CheckFailed: there are no examples.
    """
    began = time.monotonic()
    opened = run.opened()
    made = data.make(opened, run.method, run.recipe, run.context.checkpoint, blocks=_BLOCKS)
    share = max(opened.candidates.blocks / _BLOCKS, 1.0)
    making = (time.monotonic() - began) * share
    pace = run.measure(made, *run.precision())
    steps, chunk = run.lengths(pace.step)
    chunks = -(-steps // chunk)
    scored = 2 * _FORWARD * len(made.held_out["qord"]) * share / run.recipe.batch
    return Survey(
        queries=round(made.counts["queries"] * share),
        examples=round(made.counts["examples"] * share),
        steps=steps,
        chunks=chunks,
        seconds=making + (chunks + _PROCESSES) * pace.startup + (steps + scored) * pace.step,
        pace=pace,
    )
