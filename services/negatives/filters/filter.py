"""What a filter is: a name, help, typed parameters, and which of the rows that are left it keeps.

A new filter is one file and one line in `services/negatives/filters/registry.py`. Filters neither encode
nor score: all that they see are the columns of a block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from services.negatives.block import CandidateBlock, Mask

Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class Parameter:
    """A parameter of a filter.

    Attributes:
        name: As users write it in `--filter NAME=…,name=value`.
        help: One line, with unit and default.
        parse: Turns what was written into a value; raises ValueError with what is wrong.
        default: Taken where it is not written; `REQUIRED` where it must be.
        alias: The word of sentence-transformers' `mine_hard_negatives`, if it has one.
    """

    name: str
    help: str
    parse: Callable[[str], Any]
    default: Any = None
    alias: str | None = None


REQUIRED = object()


@dataclass(frozen=True)
class Filter:
    """A filter. The first parameter may be written without its name: `--filter rank-range=1:30`.

    Attributes:
        keep: Of a block and the rows that are left, those that this filter keeps (a subset of them).
        scores: Whether it needs cross-encoder scores.
    """

    name: str
    help: str
    parameters: tuple[Parameter, ...]
    keep: Callable[[CandidateBlock, Mask, Arguments], Mask]
    scores: bool = False
