"""Hints on the broker: send what is due, send again what was lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Protocol

from services.errors import Unavailable
from services.jobs.execute import Hint
from services.jobs.flight import Flight
from services.jobs.kind import Queue

logger = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0


class Broker(Protocol):
    """Where hints go. Both methods raise `Unavailable` when it does not answer."""

    def publish(self, queue: Queue, kind: str, hint: Hint) -> None:
        """Append a hint to a queue. The kind is for its limits and the name that people see."""

    def depth(self, queue: Queue) -> int:
        """Hints on a queue that nobody has taken yet."""


class Hints:
    """A broker that is away holds up nothing else: its hints wait, and are sent when it is back."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._pause = 0.0
        self._again = 0.0

    def send(self, flights: Sequence[Flight]) -> None:
        """Send the hints that the chunks in flight need now."""
        if time.monotonic() < self._again:
            return
        try:
            for flight in flights:
                if flight.due():
                    self._send(flight)
            self._send_lost([flight for flight in flights if flight.waiting()])
            self._pause = 0.0
        except Unavailable as error:
            self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE)
            self._again = time.monotonic() + self._pause
            logger.warning("broker: %s", error.message)

    def _send(self, flight: Flight) -> None:
        row = flight.row
        self._broker.publish(row.queue, row.kind, Hint(job=row.job, chunk=row.key, attempt=row.attempt))
        flight.sent()

    def _send_lost(self, unclaimed: Sequence[Flight]) -> None:
        """Send again what a queue has lost (a wiped broker, a worker killed between taking and claiming).

        A queue that holds fewer hints than there are unclaimed chunks has lost the difference, or workers
        are just about to claim. The oldest hints are the suspects, once they have been out for a while;
        a hint too many costs a worker one look at the ledger.
        """
        for queue in {flight.row.queue for flight in unclaimed if flight.overdue()}:
            here = sorted((one for one in unclaimed if one.row.queue == queue), key=Flight.age, reverse=True)
            missing = len(here) - self._broker.depth(queue)
            for flight in here[: max(missing, 0)]:
                if flight.overdue():
                    logger.info("%s attempt %d: hint sent again", flight.row.id, flight.row.attempt)
                    self._send(flight)
