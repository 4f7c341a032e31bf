"""How often a key may ask: a token bucket each."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

_MOST = 100_000
_MINUTE = 60.0


class Rates:
    """Buckets by key. A full one holds a minute's requests; it fills evenly.

    Args:
        clock: Seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, identity: str, rate: int) -> float:
        """Take a token.

        Args:
            identity: Of the key.
            rate: Requests per minute.

        Returns:
            0 where there was one, else the seconds until there will be.
        """
        now = self._clock()
        tokens, since = self._buckets.pop(identity, (float(rate), now))
        tokens = min(float(rate), tokens + (now - since) * rate / _MINUTE)
        granted = tokens >= 1
        self._buckets[identity] = (tokens - 1 if granted else tokens, now)
        if len(self._buckets) > _MOST:
            self._buckets.popitem(last=False)
        return 0.0 if granted else (1 - tokens) * _MINUTE / rate
