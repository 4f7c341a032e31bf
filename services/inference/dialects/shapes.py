"""What all dialects share: their requests' base, and scores on the scale that a dialect wants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.errors import TooLate, UsageError
from services.inference.models import Floats

ModelName = Annotated[str, Field(max_length=200)]
"""Of a system or a cross-encoder."""


class Shape(BaseModel):
    """A request of a dialect; what it says beyond what we know is ignored, as its own servers do."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def refused(error: ValidationError) -> UsageError:
    """A request that is not of its dialect, in one line."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if not str(part).startswith(("list[", "function-")))
    return UsageError(f"{where or 'body'}: {first['msg']}")


def sigmoid(scores: Floats) -> Floats:
    """Logits to 0..1."""
    made: Floats = (1 / (1 + np.exp(-scores.astype(np.float64)))).astype(np.float32)
    return made


def logits(shares: Sequence[float]) -> Floats:
    """The inverse of `sigmoid`; what was rounded to 0 or 1 becomes -16 or 16, so that it stays finite."""
    edge = 1 / (1 + np.exp(16.0))
    inside = np.clip(np.asarray(shares, np.float64), edge, 1 - edge)
    made: Floats = np.log(inside / (1 - inside)).astype(np.float32)
    return made


def complete(scores: Floats) -> Floats:
    """Scores of all texts, for dialects that know no others. TooLate where some were not reached."""
    missing = int(np.isnan(scores).sum())
    if missing:
        raise TooLate(
            f"{missing} of {len(scores)} texts were not scored in time", hint="send fewer at a time"
        )
    return scores


def best_first(scores: Floats) -> list[int]:
    """Positions by score, descending; ties in the order given."""
    order: list[int] = np.argsort(-scores, kind="stable").tolist()
    return order
