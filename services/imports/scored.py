"""What every reader of scores gives."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Id = int | str


class QueryScores(NamedTuple):
    """Scores of one query, all or some of them.

    Attributes:
        qid: As the file has it.
        pids: As the file has them: integers in an array, else a list.
        scores: float64, as long as `pids`, finite.
        place: Where they begin in the file: its byte, line or row.
    """

    qid: Id
    pids: npt.NDArray[np.int64] | list[Id]
    scores: npt.NDArray[np.float64]
    place: int
