"""What every reader of scores gives, and what a format of scores is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.collections.bad_row import BadRow

Id = int | str
Ints = npt.NDArray[np.int64]
Read = Callable[[float], None]
"""Told of the share of the file that is read, 0 to 1."""


class QueryScores(NamedTuple):
    """Scores of one query, all or some of them.

    Attributes:
        qid: As the file has it.
        pids: As the file has them: integers in an array, else a list.
        scores: float64, as long as `pids`, finite.
        place: Where they begin in the file, counted in the file's unit.
    """

    qid: Id
    pids: Ints | list[Id] | list[str]
    scores: npt.NDArray[np.float64]
    place: int


class BadScores(NamedTuple):
    """A place of the file that says no scores, and why."""

    place: int
    bad: BadRow


@dataclass(frozen=True)
class ScoresFile:
    """A file of scores, open for one reading.

    Attributes:
        unit: What places count: `line`, `row` or `byte`.
        whole: Whether a query's scores are all at one place, so that a second place is an error.
        rows: What is in it.
    """

    unit: str
    whole: bool
    rows: Iterator[QueryScores | BadScores]


@dataclass(frozen=True)
class ScoresFormat:
    """A format of scores; a new one is a file with one of these and a line in `services/imports/registry.py`.

    Attributes:
        name: As the command line has it.
        help: One line for people.
        example: A file name.
        open: Opens a file.
    """

    name: str
    help: str
    example: str
    open: Callable[[Path, Read], ScoresFile]
