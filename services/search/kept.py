"""What the store says, kept: it is read again in the background, as a store may be slow, away or damaged."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from services.deadline import Deadline
from services.errors import TooLate, first_line

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_SHARE = 0.2
"""Of the time left, what a search waits for the store."""
_PATIENCE = 2.0
"""Seconds after which nobody with a deadline waits for a reading that is still under way."""


@dataclass
class Kept(Generic[T]):
    """One thing of the store, read by one thread at a time. Belongs to one event loop.

    Attributes:
        what: For errors and the log.
        read: Reads it; called in a thread.
        fresh: Seconds that what was read counts as new, and that a failure is not tried again.
        usable: Seconds that it is given at once while it is read anew. What is older is given, too, where
            the store does not tell in time.
    """

    what: str
    read: Callable[[], T]
    fresh: float
    usable: float
    _known: tuple[float, T] | None = None
    _failed: tuple[float, Exception] | None = None
    _reading: tuple[float, asyncio.Task[None]] | None = field(default=None, repr=False)

    async def get(self, deadline: Deadline) -> T:
        """What the store says, or said when it was last heard.

        Raises:
            TooLate: it was never heard, and does not answer in time.
            Exception: whatever `read` raised, where it was never heard.
        """
        now = time.monotonic()
        age = now - self._known[0] if self._known else math.inf
        if age >= self.fresh:
            self._begin(now)
        if age >= self.usable:
            await self._wait(now, deadline)
        if self._known:
            return self._known[1]
        if self._failed:
            raise self._failed[1].with_traceback(None)
        raise TooLate(f"{self.what}: the store did not answer in time")

    def _begin(self, now: float) -> None:
        rests = self._failed is not None and now - self._failed[0] < self.fresh
        if self._reading is None and not rests:
            self._reading = now, asyncio.ensure_future(self._read())

    async def _wait(self, now: float, deadline: Deadline) -> None:
        if self._reading is None:
            return
        began, reading = self._reading
        if deadline.timeout is not None and now - began > _PATIENCE:
            return
        try:
            async with asyncio.timeout(deadline.within(_SHARE).timeout):
                await asyncio.shield(reading)
        except TimeoutError:
            return  # `get` gives what is known, or tells

    async def _read(self) -> None:
        try:
            found = await asyncio.to_thread(self.read)
        except Exception as error:  # whatever is wrong with a store: it is kept for `get`, and told
            if self._failed is None:
                _LOG.warning("%s cannot be read: %s", self.what, first_line(error))
            self._failed = time.monotonic(), error
        else:
            self._known, self._failed = (time.monotonic(), found), None
        finally:
            self._reading = None
