"""A running top-k whose ties are decided: score descending, then ord ascending.

Score and ord are packed into one int64, so that every key is unique and the k greatest are one set,
in whatever order blocks of scores arrive.
"""

from __future__ import annotations

import numpy as np
import torch

from services.mining.ranking import Ranked

_EMPTY = torch.iinfo(torch.int64).min
_LAST_ORD = 0x7FFFFFFF


def pack(scores: torch.Tensor, ords: torch.Tensor) -> torch.Tensor:
    """int64 keys that sort as (score, -ord): the score's order in the high half, the inverted ord in the low.

    Args:
        scores: float32, no NaN. -0.0 counts as 0.0.
        ords: int64, 0 to 2^31 - 1.
    """
    bits = (scores + 0.0).view(torch.int32)
    ordered = bits ^ ((bits >> 31) & _LAST_ORD)  # negative floats sort backwards as integers
    return (ordered.to(torch.int64) << 32) | (_LAST_ORD - ords)


def unpack(keys: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores (float32) and ords (int64) of keys."""
    ordered = (keys >> 32).to(torch.int32)
    return (ordered ^ ((ordered >> 31) & _LAST_ORD)).view(torch.float32), _LAST_ORD - (keys & 0xFFFFFFFF)


def _at_least(scores: torch.Tensor, floor: torch.Tensor) -> torch.Tensor:
    """Flat positions (int64) of the scores that are not below their row's floor."""
    if scores.device.type == "cpu":  # numpy does in 0.4 ms of one core what takes torch several of all cores
        return torch.from_numpy(np.flatnonzero(scores.numpy() >= floor.numpy()))
    return torch.nonzero((scores >= floor).view(-1)).view(-1)


class RunningTopK:
    """The best `k` of each of `rows` queries over all blocks offered so far.

    Memory: 8 bytes per row and k, and for a moment that of the block's survivors once more.
    """

    def __init__(self, rows: int, k: int, device: torch.device) -> None:
        self._k = k
        self._keys = torch.full((rows, k), _EMPTY, dtype=torch.int64, device=device)
        self._floor = torch.full((rows, 1), -torch.inf, device=device)

    def offer(self, first_row: int, scores: torch.Tensor, first_ord: int, live: torch.Tensor) -> None:
        """Take a block of scores into account.

        Args:
            first_row: The query of the block's first row.
            scores: float32 [rows of the block, columns].
            first_ord: The ord of the block's first column.
            live: bool [columns], whether the column is a passage that counts.
        """
        part = slice(first_row, first_row + len(scores))
        floor = self._floor[part]
        if self._k <= scores.shape[1] and bool((floor == -torch.inf).any()):
            # Until there are k candidates, the k-th best of the block itself is a floor.
            floor = floor.maximum(scores.masked_fill(~live, -torch.inf).topk(self._k, dim=1).values[:, -1:])
        # Most scores of most blocks are below the k-th best so far: drop them before any sorting of keys.
        places = _at_least(scores, floor)
        rows, columns = places // scores.shape[1], places % scores.shape[1]
        counts = live[columns]
        rows, columns = rows[counts], columns[counts]
        if not len(rows):
            return
        per_row = torch.bincount(rows, minlength=len(scores))
        slots = torch.arange(len(rows), device=rows.device) - (per_row.cumsum(0) - per_row)[rows]
        pool = torch.full(
            (len(scores), self._k + int(per_row.max())), _EMPTY, dtype=torch.int64, device=scores.device
        )
        pool[:, : self._k] = self._keys[part]
        pool[rows, self._k + slots] = pack(scores[rows, columns], first_ord + columns)
        best = pool.topk(self._k, dim=1).values
        self._keys[part] = best
        worst = best[:, -1:]
        self._floor[part] = torch.where(worst == _EMPTY, -torch.inf, unpack(worst)[0])

    def results(self) -> list[Ranked]:
        """Per row, what was found, best first."""
        scores, ords = unpack(self._keys)
        found = (self._keys != _EMPTY).sum(dim=1).tolist()
        every_ord = ords.to(torch.int32).cpu().numpy()
        every_score = scores.cpu().numpy()
        return [
            Ranked(np.ascontiguousarray(every_ord[row, :n]), np.ascontiguousarray(every_score[row, :n]))
            for row, n in enumerate(found)
        ]
