"""The dispatcher's process: `python -m workers.dispatcher`. Any number may run; one leads by lease."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from contextlib import suppress
from types import FrameType

from elasticsearch import Elasticsearch

from services.errors import MsmError, Unavailable
from services.jobs import identity
from services.jobs.context import context_for, open_ledger
from services.jobs.dispatch import Dispatcher
from services.jobs.lead import Lead
from services.jobs.ledger import Ledger
from services.jobs.records import OPEN, STACK, Job
from services.searches.retention import sweep
from services.settings import Settings, load
from workers.app import make_app
from workers.beat import PERIOD, beat
from workers.broker import CeleryBroker

logger = logging.getLogger("dispatcher")

_SHORTEST, _LONGEST = 0.05, 0.25
_OUTAGE_PAUSE = 2.0
_SWEEP_PERIOD = 3600.0
"""Seconds between two looks for searches that were kept long enough."""


def main() -> None:
    """Run until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("elastic_transport").setLevel(logging.ERROR)  # our own lines tell of every outage
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        run(load(), stop)
    except MsmError as error:
        sys.exit(f"{error.message}\n{error.hint or ''}")


def run(settings: Settings, stop: threading.Event) -> None:
    """Dispatch until `stop` is set; waits out whatever does not answer."""
    context = context_for(settings, "dispatcher")
    broker = CeleryBroker(make_app(settings), settings)
    leader: _Leader | None = None
    pause, beaten, begun = _SHORTEST, -PERIOD, False
    while not stop.wait(pause):
        if begun and time.monotonic() - beaten > PERIOD:  # from the first tick on: before, nobody dispatches
            beat()
            beaten = time.monotonic()
        try:
            leader = leader or _Leader(open_ledger(context), broker, settings, context.elastic())
            pause = _SHORTEST if leader.tick() else min(pause * 1.3, _LONGEST)
            begun = True
        except Unavailable as error:
            logger.warning("waiting: %s", error.message)
            if leader is not None:
                leader.dispatcher.forgive()
            pause = _OUTAGE_PAUSE
    if leader is not None:
        with suppress(Unavailable):
            leader.lead.release()


class _Leader:
    """Dispatches while it leads; each time it begins to, with an empty memory."""

    def __init__(
        self, ledger: Ledger, broker: CeleryBroker, settings: Settings, client: Elasticsearch
    ) -> None:
        self._ledger = ledger
        self._broker = broker
        self._settings = settings
        self._client = client
        self._sweep_at = 0.0
        self.lead = Lead(ledger, identity.me(), settings.lease_seconds)
        self.dispatcher = self._fresh()

    def tick(self) -> bool:
        """Whether anything changed."""
        led = self.lead.leading
        if not self.lead.hold():
            return False
        if not led:
            logger.info("leading")
            self.dispatcher = self._fresh()
        if time.monotonic() >= self._sweep_at:
            self._sweep()
        return self.dispatcher.tick()

    def _sweep(self) -> None:
        """Remove searches that were kept long enough. Jobs go on where that cannot be done."""
        self._sweep_at = time.monotonic() + _SWEEP_PERIOD
        try:
            for index in sweep(self._client, self._settings):
                logger.info("removed %s: searches are kept for %d days", index, self._settings.searches_days)
        except MsmError as error:
            logger.warning("old searches stay: %s", error.message)

    def _fresh(self) -> Dispatcher:
        return Dispatcher(self._ledger, self._broker, self._settings, self._jobs)

    def _jobs(self) -> list[Job]:
        return [job for job in self._ledger.jobs(OPEN, limit=10_000) if job.runner == STACK]


if __name__ == "__main__":
    main()
