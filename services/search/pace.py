"""How long a step takes here, measured as it is taken, so that room is kept for it before a deadline."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from services.deadline import Deadline

_MOST_MS = 250.0
_LEAST_MS = 15.0
_GAIN, _SPREAD_GAIN, _SPREADS = 1 / 8, 1 / 4, 4
_SKIP_GAIN = 1 / 32
_LEAST_ENCODING = 0.2
"""Share of what is left that query vectors may take however slow the legs are: else none would be tried."""
_PULSE_SECONDS = 2.0


@dataclass
class Reserve:
    """What a step will hardly exceed: its smoothed mean and four times its smoothed deviation.

    Source: the retransmission timer of TCP (RFC 6298), which estimates the same in the same way.
    """

    mean_ms: float = 5.0
    spread_ms: float = 2.5

    @property
    def ms(self) -> float:
        """Milliseconds to keep; bounded, as one stalled step says little of the next."""
        return min(_MOST_MS, self.mean_ms + _SPREADS * self.spread_ms)

    def took(self, milliseconds: float) -> None:
        """A step took so long."""
        self.spread_ms += _SPREAD_GAIN * (abs(milliseconds - self.mean_ms) - self.spread_ms)
        self.mean_ms += _GAIN * (milliseconds - self.mean_ms)

    def skipped(self) -> None:
        """A step was left out for want of time: keep a little less, so that one is taken, and measured, soon.

        Else a slow spell would be believed for ever where no request has the time to disprove it.
        """
        kept = self.mean_ms + _SPREADS * self.spread_ms
        share = max(_LEAST_MS, self.ms * (1 - _SKIP_GAIN)) / kept
        if share < 1:
            self.mean_ms *= share
            self.spread_ms *= share


@dataclass
class Pulse:
    """Whether Elasticsearch answers at all: it may be late without being lost.

    Attributes:
        waiting: Since when it has left every question unanswered; None: there is none that it has.
    """

    waiting: float | None = None

    def asked(self) -> None:
        """It is asked something."""
        if self.waiting is None:
            self.waiting = time.monotonic()

    def answered(self) -> None:
        """It has answered something."""
        self.waiting = None

    @property
    def alive(self) -> bool:
        """Whether it has been waited for in vain for less than two seconds."""
        return self.waiting is None or time.monotonic() - self.waiting < _PULSE_SECONDS


@dataclass
class Pace:
    """The measured steps of an engine: the legs, missing true scores, and what is left once hits are ranked.

    The rest is the hits' sources and the answer, and how much later than it should a loop that has much to do
    notices that time is over.
    """

    legs: Reserve = field(default_factory=Reserve)
    scores: Reserve = field(default_factory=Reserve)
    rest: Reserve = field(default_factory=Reserve)
    pulse: Pulse = field(default_factory=Pulse)

    def for_encoding(self, deadline: Deadline, share: float) -> Deadline:
        """By when query vectors must be there: within a share of what is left, and with room for the legs."""
        if deadline.timeout is None:
            return deadline
        left = deadline.left * 1000
        return deadline.earlier(max(left * (1 - share), min(self.legs.ms, left * (1 - _LEAST_ENCODING))))

    def before_rest(self, deadline: Deadline) -> Deadline:
        """By when hits must be ranked; the rest gets a third of what is left at most."""
        if deadline.timeout is None:
            return deadline
        return deadline.earlier(min(self.rest.ms, deadline.left * 1000 / 3))

    def took_rest(self, ranked_at: float) -> None:
        """The answer is there.

        Args:
            ranked_at: See `services.search.ask.Ranked`.
        """
        self.rest.took((time.monotonic() - ranked_at) * 1000)


class Watch:
    """Milliseconds by step."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Count the block's time for a step."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.spent[name] = self.spent.get(name, 0.0) + (time.monotonic() - began) * 1000
