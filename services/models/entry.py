"""What every registered model has: a name, its form in folder names, its published figures."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
Name = Annotated[str, StringConstraints(pattern=rf"^{NAME}$")]


class Score(BaseModel):
    """A published figure and where it is published. `value` is a fraction, not a percentage."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str
    measure: str
    value: float = Field(ge=0, le=1)
    source: str


class Entry(BaseModel):
    """An entry of a registry. `order` is its position there; those that users added follow."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    scores: tuple[Score, ...] = ()
    note: str | None = None
    order: int = 0

    @property
    def slug(self) -> str:
        """The name in `[a-z0-9_]`."""
        return slug_of(self.name)


def slug_of(name: str) -> str:
    """A name in `[a-z0-9_]`."""
    return re.sub(r"[^a-z0-9]", "_", name.lower())


def spelling(name: str) -> str:
    """What all spellings of a name have in common.

    `MiniLM-L-6` reads like `MiniLM-L6`, `_` like `-`; case and a leading `msmarco-` (or hub organisation)
    do not count, as the names of the same models differ between hub, documentation and the reference file.
    """
    plain = name.rsplit("/", 1)[-1].lower().replace("_", "-")
    return re.sub(r"-l-(\d+)", r"-l\1", plain).removeprefix("msmarco-")
