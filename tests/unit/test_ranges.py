"""Rows of different lengths, gathered and cut."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.ranges import ranges, slices


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 9))))
def test_ranges_lie_end_to_end(pieces: list[tuple[int, int]]) -> None:
    starts, sizes = (np.array([piece[n] for piece in pieces], np.int64) for n in (0, 1))
    assert ranges(starts, sizes).tolist() == [
        number for lo, size in pieces for number in range(lo, lo + size)
    ]


@given(st.lists(st.integers(0, 9)), st.integers(1, 12), st.none() | st.integers(1, 4))
def test_slices_hold_as_many_neighbours_as_fit(sizes: list[int], most: int, rows: int | None) -> None:
    cuts = list(slices(np.array(sizes, np.int64), most, rows))
    assert [size for cut in cuts for size in sizes[cut]] == sizes
    for cut, following in zip(cuts, [*cuts[1:], None][: len(cuts)], strict=True):
        held = sizes[cut]
        assert held
        assert len(held) == 1 or (sum(held) <= most and len(held) <= (rows or len(sizes)))
        if following is not None and len(held) != rows:
            assert sum(held) + sizes[following.start] > most
