"""What the training process is told, and what it tells: JSON on its stdin and stdout."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from services.training.base import Base
from services.training.recipe import Recipe


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Task(_Message):
    """One line on stdin. Paths are of this machine; the stdin stays open for as long as the parent lives.

    Attributes:
        work: `train` the steps `lo` to `hi` and save; `measure` the seconds that a step takes, saving
            nothing; `score` the pairs of `data` with one model after the other.
        scratch: Folder for checkpoints, the child's to remove when its parent dies.
        checkpoint: Where to go on from; None: from the base.
        models: Folders of those that score; None: the base.
        data: Parquet file with the columns that the trainer reads, in the order of the steps.
        sizes: Examples of each step.
        total: Steps of the whole run, which the learning rate spans.
        seconds: End with a checkpoint after so many, even before `hi`; None: never.
        device: As the settings say.
    """

    work: Literal["train", "measure", "score"]
    recipe: Recipe
    base: Base
    scratch: str
    checkpoint: str | None = None
    models: tuple[str | None, ...] = ()
    data: str
    sizes: tuple[int, ...] = ()
    lo: int = 0
    hi: int = 0
    total: int = 1
    seconds: float | None = None
    precision: Literal["fp32", "bf16"]
    threads: int
    device: str


class Step(_Message):
    """A step is done. `loss` is None where it is no number any more; memory is in bytes, at its peak."""

    event: Literal["step"] = "step"
    step: int
    loss: float | None
    rate: float
    seconds: float
    memory: int
    device_memory: int | None


class Cut(_Message):
    """Memory does not hold a step at once: from this one on, so many examples are computed at a time.

    Attributes:
        step: None: memory does not hold what was scored at a time.
        size: So many from now on.
    """

    event: Literal["cut"] = "cut"
    step: int | None
    size: int


class Saved(_Message):
    """The checkpoint after this step lies in this folder."""

    event: Literal["saved"] = "saved"
    step: int
    folder: str
    device: str


class Scored(_Message):
    """The scores of all pairs by one model."""

    event: Literal["scored"] = "scored"
    scores: list[float]


class Failed(_Message):
    """The work cannot be done, for a reason of the user's."""

    event: Literal["failed"] = "failed"
    message: str
    hint: str | None


Event = Step | Cut | Saved | Scored | Failed
EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])
