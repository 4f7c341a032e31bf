"""How the values of filters are written; every function raises ValueError with what is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from services.negatives.block import Mask

_LARGEST = 1e30
"""Scores are float32."""


def number(text: str) -> float:
    """A number that a score may have."""
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"'{text}' is no number") from None
    if not math.isfinite(value) or abs(value) > _LARGEST:
        raise ValueError(f"'{text}' is no finite number up to {_LARGEST:g}")
    return value


def count(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or int(text) < 1:
        raise ValueError(f"'{text}' is no whole number from 1 on")
    return int(text)


class Range(NamedTuple):
    """Two ends, both included; None: open."""

    first: float | None
    last: float | None

    def __str__(self) -> str:
        return ":".join("" if end is None else written(end) for end in self)

    def holds(self, values: npt.NDArray[Any]) -> Mask:
        """Which values are inside."""
        inside = np.ones(len(values), np.bool_)
        if self.first is not None:
            inside &= values >= self.first
        if self.last is not None:
            inside &= values <= self.last
        return inside


def span(end: Callable[[str], float]) -> Callable[[str], Range]:
    """`FIRST:LAST`, of which one may be empty; `end` parses each."""

    def parse(text: str) -> Range:
        first, colon, last = (part.strip() for part in text.partition(":"))
        if not colon or not (first or last):
            raise ValueError(f"'{text}' is no range such as 1:30, 11: or :30")
        found = Range(end(first) if first else None, end(last) if last else None)
        if found.first is not None and found.last is not None and found.last < found.first:
            raise ValueError(f"'{text}' begins behind its end")
        return found

    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    """One of some words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"'{text}' is none of {', '.join(choices)}")
        return text

    return parse


def names(text: str) -> list[str]:
    """Names joined by commas."""
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        raise ValueError(f"'{text}' has an empty name")
    return found


def written(value: Any) -> str:
    """A value as it may be written."""
    if isinstance(value, list):
        return ",".join(value)
    return f"{value:.12g}" if isinstance(value, int | float) else str(value)
