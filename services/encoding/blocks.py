"""Which texts are computed together: token-sorted blocks whose shapes are fixed by length and budget.

Sorting by tokens (not characters) leaves next to no padding, and a constant number of tokens per block
keeps the caches warm. Because a block's shape depends on its length alone, and a short block is filled up
with copies, the same texts always meet the same kernels and give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from services.errors import first_line

T = TypeVar("T")
Positions = npt.NDArray[np.int64]

STEP = 8
"""Lengths are rounded up to a multiple of this many tokens."""
_SCALES = (1.0, 0.5, 0.25, 0.125)


@dataclass(frozen=True)
class Block:
    """Texts that are computed together: `positions` (int64), padded to `rows` x `length` tokens."""

    positions: Positions
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


def computed(
    positions: Positions, compute: Callable[[Positions], T], probe: Callable[[], object]
) -> Iterator[tuple[Positions, T | str]]:
    """Compute a block; where it fails, halve it down to the rows that cannot be computed.

    Args:
        positions: The rows of the block.
        compute: Computes some of them.
        probe: Computes what always can be; where that fails too it is the machine's fault, no row's.

    Yields:
        Rows with what was computed for them, or one row with why it cannot be.

    Raises:
        MemoryError: the block does not fit.
        RuntimeError: nothing at all can be computed.
    """
    try:
        values = compute(positions)
    except (RuntimeError, IndexError) as error:
        if len(positions) == 1:
            yield positions, f"cannot be computed: {first_line(error)}"
            return
        probe()
        half = len(positions) // 2
        yield from computed(positions[:half], compute, probe)
        yield from computed(positions[half:], compute, probe)
        return
    yield positions, values


def halving(compute: Callable[[float], T]) -> T:
    """Compute in ever smaller blocks until they fit into the device's memory."""
    for scale in _SCALES[:-1]:
        try:
            return compute(scale)
        except MemoryError:
            continue
    return compute(_SCALES[-1])
