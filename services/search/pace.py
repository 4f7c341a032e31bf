"""How long a step takes here, measured as it is taken, so that room is kept for it before a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from services.deadline import Deadline
from services.errors import Unavailable

_MOST_MS = 250.0
_LEAST_MS = 15.0
_GAIN, _SPREAD_GAIN, _SPREADS = 1 / 8, 1 / 4, 4
_SKIP_GAIN = 1 / 32
_LEAST_ENCODING = 0.2
"""Share of what is left that query vectors may take however slow the legs are: else none would be tried."""
_PULSE_SECONDS = 2.0
_TURNS = 3
"""Times that a busy process's `lag` is kept room for; measured: docs/search.md."""


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

    def missed(self, milliseconds: float) -> None:
        """A step was cut off after so long: it would have taken longer, and no less than it mostly does."""
        self.took(max(2 * milliseconds, self.mean_ms))

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
        silence: Seconds for which somebody has waited since its last answer, until `since`.
        waiting: How many wait now.
        since: When the last of them began or ended.
    """

    silence: float = 0.0
    waiting: int = 0
    since: float = 0.0

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask it something in the block. A refusal is an answer; time that runs out is none.

        What was asked in vain longer ago than it takes to be lost says nothing any more.
        """
        now = time.monotonic()
        if not self.waiting:
            if now - self.since > _PULSE_SECONDS:
                self.silence = 0.0
            self.since = now
        self.waiting += 1
        silent = False
        try:
            yield
        except (TimeoutError, asyncio.CancelledError, Unavailable):
            silent = True
            raise
        finally:
            now = time.monotonic()
            self.silence = self.silence + now - self.since if silent else 0.0
            self.since = now
            self.waiting -= 1

    @property
    def alive(self) -> bool:
        """Whether it has been waited for in vain for less than two seconds, idle times left out."""
        return self.silence + (time.monotonic() - self.since if self.waiting else 0.0) < _PULSE_SECONDS


@dataclass
class Pace:
    """The measured steps of an engine: the legs, missing true scores, the hits' sources.

    And `lag`: how much later than it should a loop that has much to do notices that time is over.
    """

    legs: Reserve = field(default_factory=Reserve)
    scores: Reserve = field(default_factory=Reserve)
    fetch: Reserve = field(default_factory=Reserve)
    lag: Reserve = field(default_factory=Reserve)
    pulse: Pulse = field(default_factory=Pulse)

    def for_encoding(self, deadline: Deadline, share: float) -> Deadline:
        """By when query vectors must be there: within a share of what is left, and with room for the legs."""
        if deadline.timeout is None:
            return deadline
        left = deadline.left * 1000
        return deadline.earlier(max(left * (1 - share), min(self.legs.ms, left * (1 - _LEAST_ENCODING))))

    def before_end(self, deadline: Deadline, *, fetch: bool) -> Deadline:
        """By when hits must be ranked; what comes then gets a third of what is left at most.

        Room for `lag` is kept three times: the end is noticed late, so was the request before its time began,
        and so is the answer by whoever waits for it on the same cores.

        Args:
            deadline: Of the whole request.
            fetch: Whether their sources have to be fetched then.
        """
        if deadline.timeout is None:
            return deadline
        return deadline.earlier(min(_TURNS * self.lag.ms + fetch * self.fetch.ms, deadline.left * 1000 / 3))

    def ended(self, deadline: Deadline, began: float) -> None:
        """Hits are ranked, or should have been.

        Args:
            deadline: By when they should.
            began: `time.monotonic()` when ranking began: what was late before is nobody's lag.
        """
        late = time.monotonic() - max(deadline.at, began)
        if late > 0:
            self.lag.took(late * 1000)
        elif deadline.timeout is not None:
            self.lag.skipped()


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
