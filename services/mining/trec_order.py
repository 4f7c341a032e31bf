"""Scores by which trec_eval, and all that read a run as it does, find the order of its rows again.

trec_eval 9 reads scores as float32, looks at no rank, and puts of equal scores the greater id first. Systems
break ties in their own way, and some tell scores apart more finely.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.mining.ranking import Scores

_SIGN = 1 << 31
_LOWEST = -int(np.array(np.finfo(np.float32).max).view(np.int32))
_APART = 1 << 36
"""Between queries: more than all numbers of float32 and as many rows."""


def in_trec_order(query: npt.NDArray[np.int64], pids: pa.Array, scores: Scores) -> Scores:
    """The scores, lowered by as few steps of float32 as it takes so that they alone say the order.

    Args:
        query: Of each row, ascending.
        pids: Of each row, best first within a query.
        scores: Of each row.
    """
    if not len(scores):
        return scores
    same = query[1:] == query[:-1]
    wrong = np.asarray(pc.greater(pids[1:], pids[:-1]).to_numpy(zero_copy_only=False), np.bool_)
    # A row lies below the one before, strictly where ids would turn the two round. With the steps so far
    # added to each number, that is a running minimum, for which queries lie apart.
    steps = np.concatenate([[0], np.cumsum(same & wrong)])
    apart = np.concatenate([[0], np.cumsum(~same)]) * _APART
    numbers = np.minimum.accumulate(_numbers(scores) + steps - apart) - steps + apart
    return _scores(np.maximum(numbers, _LOWEST))


def _numbers(scores: Scores) -> npt.NDArray[np.int64]:
    """float32 counted through: neighbours differ by one, and both zeros are 0."""
    bits = np.ascontiguousarray(scores, np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits + _SIGN), bits)


def _scores(numbers: npt.NDArray[np.int64]) -> Scores:
    bits = np.where(numbers < 0, -numbers - _SIGN, numbers)
    return bits.astype(np.int32).view(np.float32)
