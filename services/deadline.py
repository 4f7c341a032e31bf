"""A moment by which something must be done, carried from the receipt of a request to its last step."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Deadline:
    """A moment on this process's monotonic clock; `math.inf` for none."""

    at: float = math.inf

    @classmethod
    def after(cls, milliseconds: float | None) -> Deadline:
        """So many milliseconds from now; None: never."""
        return cls() if milliseconds is None else cls(time.monotonic() + milliseconds / 1000)

    @property
    def left(self) -> float:
        """Seconds until then, 0 when it has passed."""
        return max(0.0, self.at - time.monotonic())

    @property
    def passed(self) -> bool:
        """Whether nothing more may be begun."""
        return self.left == 0.0

    @property
    def timeout(self) -> float | None:
        """Seconds left, as clients want them: None where there is no deadline."""
        return None if math.isinf(self.at) else self.left

    def earlier(self, milliseconds: float) -> Deadline:
        """So many milliseconds before this one: room for what comes after."""
        return Deadline(self.at - milliseconds / 1000)

    def no_earlier(self, seconds: float) -> Deadline:
        """This one, or so many seconds from now where that is later."""
        return Deadline(max(self.at, time.monotonic() + seconds))

    def within(self, share: float) -> Deadline:
        """A share of what is left; never where there is no end."""
        return self if math.isinf(self.at) else Deadline(time.monotonic() + share * self.left)
