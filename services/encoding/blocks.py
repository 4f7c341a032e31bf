"""Which texts are computed together: token-sorted blocks whose shapes are fixed by length and budget.

Sorting by tokens (not characters) leaves next to no padding, and a constant number of tokens per block
keeps the caches warm. Because a block's shape depends on its length alone, and a short block is filled up
with copies, the same texts always meet the same kernels and give the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

STEP = 8
"""Lengths are rounded up to a multiple of this many tokens."""


@dataclass(frozen=True)
class Block:
    """Texts that are computed together: `positions` (int64), padded to `rows` x `length` tokens."""

    positions: npt.NDArray[np.int64]
    rows: int
    length: int


def plan_blocks(
    lengths: npt.NDArray[np.int64], budget: int, max_length: int, *, fill: bool = True
) -> list[Block]:
    """Cut texts into blocks, longest first (so that memory runs out at once or never), ties by position.

    Args:
        lengths: Tokens of each text, at most `max_length`.
        budget: Tokens per block, padding included; a block has at least one row.
        max_length: The longest that the model takes.
        fill: Whether the last block has as many rows as its shape allows; without, as many as it needs.
    """
    order = np.lexsort((np.arange(len(lengths)), -lengths))
    blocks, start = [], 0
    while start < len(order):
        length = min(-(-int(lengths[order[start]]) // STEP) * STEP, max_length)
        rows = max(1, budget // length)
        positions = order[start : start + rows]
        blocks.append(Block(positions, rows if fill else len(positions), length))
        start += rows
    return blocks
