"""Many (pid, score) pairs at once: runs of `integer, number` found in a window with numpy.

The opcodes of a pair are BININT1, BININT2 or BININT (2, 3 or 5 bytes) and a number of one shape. Where a
pair ends the next begins, so that a run is a chain of values at distances that their keys' opcodes
explain; a chain from a known beginning is exactly what the opcodes, read one by one, say.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_KEY_BYTES = {ord("K"): 2, ord("M"): 3, ord("J"): 5}
_TABLE = np.zeros(256, np.int64)
_TABLE[list(_KEY_BYTES)] = list(_KEY_BYTES.values())
_KEYS = np.full(6, -1, np.int64)
_KEYS[list(_KEY_BYTES.values())] = list(_KEY_BYTES)
_MARGIN = 5  # bytes of the longest key


@dataclass(frozen=True)
class Shape:
    """How a number is written: fixed bytes, the number, fixed bytes.

    `memos` is how many memo numbers it takes.
    """

    prefix: bytes
    dtype: str
    suffix: bytes = b""
    memos: int = 0

    @property
    def size(self) -> int:
        """Bytes of one number."""
        return len(self.prefix) + np.dtype(self.dtype).itemsize + len(self.suffix)


FLOAT = Shape(b"G", ">f8")
"""BINFLOAT: a Python float."""


class Runs:
    """The pairs of a window.

    Args:
        window: Bytes.
        shape: Of the numbers looked for.

    Attributes:
        finite: Whether no number in the window is infinite or NaN.
    """

    def __init__(self, window: bytes, shape: Shape) -> None:
        data = np.frombuffer(window, np.uint8)
        self._window = window
        self._size = shape.size
        at = _values(data, shape)
        before = np.empty_like(at)
        before[1:] = at[:-1] + self._size
        before[:1] = -1
        length = at - before
        linked = (length > 0) & (length <= _MARGIN)
        linked[linked] = data[before[linked]] == _KEYS[length[linked]]
        breaks = np.flatnonzero(~linked)
        self._at = at
        self._first_at: list[int] = at[breaks].tolist()
        self._breaks: list[int] = [*breaks.tolist(), len(at)]
        # The first of a chain has no predecessor: `after` sets its key.
        self._keys = _keys(data, at, np.where(linked, length, 0))
        self._numbers = _gather(window, at + len(shape.prefix), shape.dtype)
        self.finite = bool(np.isfinite(self._numbers).all())

    def after(self, position: int) -> tuple[Ints, Floats, int] | None:
        """The run that begins at a position of the window.

        Returns:
            Keys, numbers, and the position behind the last; None where no such pair begins here.
        """
        key = _KEY_BYTES.get(self._window[position]) if position < len(self._window) else None
        if key is None:
            return None
        run = bisect_left(self._first_at, position + key)
        if run < len(self._first_at) and self._first_at[run] == position + key:
            first = self._breaks[run]
        else:  # within a chain that began with bytes that only look like a pair
            first = int(np.searchsorted(self._at, position + key))
            if first == len(self._at) or self._at[first] != position + key:
                return None
            run -= 1
        stop = self._breaks[run + 1]
        raw = self._window[position + 1 : position + key]
        self._keys[first] = int.from_bytes(raw, "little", signed=key == _MARGIN)
        end = int(self._at[stop - 1]) + self._size
        return self._keys[first:stop], self._numbers[first:stop], end


def _values(data: npt.NDArray[np.uint8], shape: Shape) -> Ints:
    """Where numbers of a shape begin, as far as a key may be before them; some are none."""
    last = len(data) - shape.size
    at: Ints = np.flatnonzero(data[2 : max(last + 1, 2)] == shape.prefix[0]) + 2
    at = at[
        (data[at - 2] == ord("K"))
        | (data[np.maximum(at - 3, 0)] == ord("M"))
        | (data[np.maximum(at - 5, 0)] == ord("J"))
    ]
    width = shape.size - len(shape.suffix)
    for place, byte in [*enumerate(shape.prefix), *enumerate(shape.suffix, width)][1:]:
        at = at[data[at + place] == byte]
    return at


def _keys(data: npt.NDArray[np.uint8], at: Ints, length: Ints) -> Ints:
    """The integers before some positions, by the length of their opcodes; 0 where that is 0."""
    window = data.data
    keys = np.zeros(len(at), np.int64)
    for size, dtype in ((2, "<u1"), (3, "<u2"), (5, "<i4")):
        chosen = np.flatnonzero(length == size)
        keys[chosen] = _gather(window, at[chosen] - size + 1, dtype)
    return keys


def _gather(window: bytes | memoryview, at: Ints, dtype: str) -> npt.NDArray[np.float64]:
    """Numbers at any positions, aligned or not."""
    width = np.dtype(dtype).itemsize
    if not len(at):
        return np.empty(0, np.float64)
    everywhere = np.ndarray((len(window) - width + 1,), dtype, buffer=window, strides=(1,))
    return everywhere[at].astype(np.float64)
