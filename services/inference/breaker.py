"""Whether it is worth asking a server: one that is dead or stopped costs a few requests time, not all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from services.errors import Unavailable

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0


class Breaker:
    """Open when a server cannot be reached or keeps a probe waiting, closed again when it answers one.

    Args:
        where: The server, for the message.
        probe: True when the server answers; it bears its own time limit.
    """

    def __init__(self, where: str, probe: Callable[[], Awaitable[bool]]) -> None:
        self._where = where
        self._probe = probe
        self._why = ""
        self._task: asyncio.Task[None] | None = None
        self._doubt: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether requests fail at once."""
        return self._task is not None

    async def check(self) -> None:
        """Unavailable while the server is given up; while it is in doubt, wait for what the probe says."""
        if self._doubt is not None:
            await asyncio.wait([self._doubt])
        if self.is_open:
            raise Unavailable(f"{self._where}: {self._why}", hint="msmctl status; msmctl logs models")

    def trip(self, why: str) -> None:
        """The server is not there: nothing more is sent until it answers a probe."""
        self._why = why
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._until_it_answers())

    def suspect(self) -> None:
        """Somebody waited in vain: see whether the server is there."""
        if self._task is None and self._doubt is None:
            self._doubt = asyncio.get_running_loop().create_task(self._see())

    async def close(self) -> None:
        """Look no longer."""
        tasks = [task for task in (self._task, self._doubt) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._task = self._doubt = None

    async def _see(self) -> None:
        try:
            if not await self._probe():
                self.trip("does not answer")
        finally:
            self._doubt = None

    async def _until_it_answers(self) -> None:
        pause = FIRST_PAUSE
        while not await self._probe():
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        self._task = None
