"""Run jobs in this process: the same dispatcher and the same execution, with a queue in memory."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial

from services.errors import Unavailable
from services.jobs.dispatch import Dispatcher
from services.jobs.execute import Hint, execute
from services.jobs.kind import Context, Queue
from services.jobs.ledger import Ledger
from services.jobs.records import ENDED, Job

_PAUSE = 0.1
_LOOK = 0.5
"""Seconds between two looks at a chunk that is being worked on: its progress becomes the job's."""
_OUTAGE = 300.0


class MemoryBroker:
    """A queue of hints for one process."""

    def __init__(self) -> None:
        self.hints: deque[Hint] = deque()

    def publish(self, queue: Queue, kind: str, hint: Hint) -> None:
        """Append a hint."""
        self.hints.append(hint)

    def depth(self, queue: Queue) -> int:
        """Hints not taken yet."""
        return len(self.hints)


def run_here(
    ledger: Ledger, context: Context, job_ids: Sequence[str], runner: str, stop: threading.Event | None = None
) -> list[Job]:
    """Work on jobs until they have ended or `stop` is set; the jobs as they are then.

    Args:
        ledger: Where the jobs live.
        context: What the chunks may touch.
        job_ids: The jobs; those of another runner are left to it.
        runner: This process, as the jobs name it.
        stop: Set from another thread (or a signal) to stop after the next checkpoint.

    Raises:
        Unavailable: the ledger has not answered for five minutes; the jobs stay open.
    """
    stop = stop or threading.Event()
    broker = MemoryBroker()

    def mine() -> list[Job]:
        return [job for job in ledger.jobs_by_id(job_ids) if job.state not in ENDED and job.runner == runner]

    dispatcher = Dispatcher(ledger, broker, context.settings, mine)
    heard = time.monotonic()
    while not stop.is_set():
        try:
            if not mine():
                break
            changed = dispatcher.tick()
            if not broker.hints and not changed:
                stop.wait(_PAUSE)
            while broker.hints and not stop.is_set():
                _looking(dispatcher, partial(execute, ledger, context, broker.hints.popleft(), stop))
            heard = time.monotonic()
        except Unavailable:
            if time.monotonic() - heard > _OUTAGE:
                raise
            dispatcher.forgive()
            stop.wait(1.0)
    return ledger.jobs_by_id(job_ids)


def _looking(dispatcher: Dispatcher, work: Callable[[], object]) -> None:
    """Work in a thread while the dispatcher keeps the job's counters."""
    with ThreadPoolExecutor(1, "chunk") as pool:
        working = pool.submit(work)
        while wait([working], _LOOK).not_done:
            try:
                dispatcher.tick()
            except Unavailable:
                dispatcher.forgive()
    working.result()
