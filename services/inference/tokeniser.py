"""The one thread that tokenises, and a bound on what waits for it.

Text becomes tokens, of which `batching` bounds how many wait, only here: without a bound of its own this
queue would be the way round that one.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from services.errors import Overloaded
from services.inference.batching import Piece

CHARACTERS = 16
"""Characters that may wait, per token that may wait. Text has about four of them per token."""
_SPEED = 1_000_000
"""Characters per second, roughly, of one core: for when to come back."""


class Tokeniser:
    """One thread, as a tokenizer is not made for two.

    Args:
        most: Characters that may wait or be under way.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._thread = ThreadPoolExecutor(1, "tokeniser")
        self._lock = threading.Lock()
        self.waiting = 0

    async def pieces(self, model: str, texts: Sequence[str], make: Callable[[], list[Piece]]) -> list[Piece]:
        """What `make`, called in the thread, makes of texts.

        Args:
            model: For messages.
            texts: Those that `make` tokenises.
            make: Raises what it likes; nobody calls it where the caller gave up before its turn.

        Raises:
            Overloaded: more characters would wait than may.
        """
        characters = sum(map(len, texts))
        self._admit(model, characters)
        work = self._thread.submit(make)
        # Who gives up leaves work that has begun behind: it counts until the thread is done with it.
        work.add_done_callback(lambda _: self._release(characters))
        return await asyncio.wrap_future(work)

    def close(self) -> None:
        """Tokenise nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _admit(self, model: str, characters: int) -> None:
        with self._lock:
            # As in the batcher: what is greater than the bound is let in where nothing waits.
            if self.waiting and self.waiting + characters > self._most:
                raise Overloaded(
                    f"{model}: {self.waiting:,} characters wait, and {characters:,} more would be beyond the "
                    f"{self._most:,} that may",
                    retry_after=round(max(0.1, self.waiting / _SPEED), 1),
                    hint="ask again later, ask for less, or raise MSM_QUEUE_TOKENS",
                )
            self.waiting += characters

    def _release(self, characters: int) -> None:
        with self._lock:
            self.waiting -= characters
