"""What a run is bound to once it has begun: examples, steps, precision. Written once, by the plan chunk."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from services.store import Part, Store

_NAME = "plan.json"


class TrainingPlan(BaseModel):
    """A run's plan. A second execution of the plan chunk reads what the first one has written.

    Attributes:
        steps: Of the whole run: what the learning rate spans.
        chunk_steps: From one checkpoint to the next.
        seconds_per_step: As measured; None where nothing had to be.
        threads: Of every chunk: another number would add numbers up in another order.
        snapshots: Steps after which the model is kept besides the last one; chunks end there.
        examples, apart: Of `services.training.methods.Examples`.
        held_out: Of `services.training.data.Made`.
        inputs: Fingerprints of all that decides the result besides the recipe.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int
    chunk_steps: int
    seconds_per_step: float | None
    precision: Literal["fp32", "bf16"]
    threads: int
    examples: Part
    apart: Part
    held_out: Part
    counts: dict[str, int]
    snapshots: tuple[int, ...] = ()
    inputs: dict[str, Any]

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """The steps of each chunk."""
        ends = sorted({*range(self.chunk_steps, self.steps, self.chunk_steps), *self.snapshots, self.steps})
        return list(zip([0, *ends[:-1]], ends, strict=True))


def fix(store: Store, key: str, plan: TrainingPlan) -> TrainingPlan:
    """Write a plan, unless there is one; the one that counts."""
    store.create_json(f"{key}/{_NAME}", plan.model_dump(mode="json"))
    return read(store, key) or plan


def read(store: Store, key: str) -> TrainingPlan | None:
    """The plan of a run, or None before it was made."""
    raw = store.read_json(f"{key}/{_NAME}")
    return TrainingPlan.model_validate(raw) if raw else None
