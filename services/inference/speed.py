"""How long a block takes: a fixed part, and a part for every token, learned from the blocks of late."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

_MEMORY = 0.9
"""Of earlier blocks in what is known."""
_RIDGE = 0.01
_OUTLIER = 8.0
"""Times what was expected: one block that took longer was stalled, and says no more than that."""
_LEAST_SHARE = 0.05
"""Of a block's time that its tokens take, however much the measurements scatter."""
_SKIP_GAIN = 1 / 32
_FRESH = 1.0
"""Seconds for which a measurement is believed whatever is given up for it."""


@dataclass
class Speed:
    """A line through the blocks of late, the older the less they count.

    Fitted by least squares, with a ridge towards the line through zero: where all blocks are of one size
    nothing is known of the fixed part.

    Args:
        per_token: Seconds, as long as no block was measured.
    """

    per_token: float
    fixed: float = 0.0

    def __post_init__(self) -> None:
        self._means = np.zeros(4)  # of tokens, seconds, squared tokens, and their product with seconds
        self._measured = 0.0

    def seconds(self, tokens: float) -> float:
        """How long a block of so many tokens takes."""
        return self.fixed + tokens * self.per_token

    def tokens(self, seconds: float) -> float:
        """How many tokens a block may have that takes so long; 0 where not even the fixed part fits."""
        return max(0.0, seconds - self.fixed) / self.per_token

    def took(self, tokens: int, seconds: float) -> None:
        """A block was computed."""
        x, y, memory = max(tokens, 1), max(seconds, 1e-6), 0.0
        if self._means.any():
            y, memory = min(y, _OUTLIER * self.seconds(x)), _MEMORY
        self._measured = time.monotonic()
        self._means = memory * self._means + (1 - memory) * np.array([x, y, x * x, x * y])
        mx, my, mxx, mxy = self._means.tolist()
        slope = (mxy - mx * my + _RIDGE * mx * my) / (mxx - mx * mx + _RIDGE * mx * mx)
        whole = my / mx
        self.per_token = min(max(slope, _LEAST_SHARE * whole), whole)
        self.fixed = max(0.0, my - self.per_token * mx)

    def skipped(self) -> None:
        """Work was given up for want of time: believe a little less, so that some is tried, and measured.

        Else a slow spell would be believed for as long as there is other work. What was measured just now is
        believed.
        """
        if time.monotonic() - self._measured < _FRESH:
            return
        less = 1 - _SKIP_GAIN
        self.per_token, self.fixed = less * self.per_token, less * self.fixed
        self._means *= [1, less, 1, less]
