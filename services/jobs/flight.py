"""What the dispatcher remembers of the chunks in flight: a bounded number per job."""

from __future__ import annotations

import time

from services.jobs.records import Failure, Phase, Row

_FIRST_PATIENCE = 2.0
_LONGEST_PATIENCE = 30.0


class Flight:
    """One chunk that is waiting, queued or running, by the dispatcher's own monotonic clock."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.moved = True
        self.sent_at: float | None = None
        self._patience = _FIRST_PATIENCE
        self._heard = time.monotonic()
        self._not_before = self._heard + row.wait

    def see(self, row: Row) -> bool:
        """Take in the present row. Always true, so that it can stand in a condition."""
        known, self.row = self.row, row
        self.moved = (row.progress, row.attempt, row.state) != (known.progress, known.attempt, known.state)
        if row.attempt != known.attempt:
            self.sent_at = None
            self._patience = _FIRST_PATIENCE
            self._not_before = time.monotonic() + row.wait
        if (row.attempt, row.beat) != (known.attempt, known.beat):
            self._heard = time.monotonic()
        return True

    def silent(self) -> float:
        """Seconds since the last heartbeat was noticed."""
        return time.monotonic() - self._heard

    def due(self) -> bool:
        """Whether a hint should be sent now for the first time."""
        return self.row.state == "pending" and self.sent_at is None and time.monotonic() >= self._not_before

    def sent(self) -> None:
        """A hint was sent; the next one for the same attempt after twice the patience."""
        if self.sent_at is not None:
            self._patience = min(2 * self._patience, _LONGEST_PATIENCE)
        self.sent_at = time.monotonic()

    def waiting(self) -> bool:
        """Whether a hint is out and nobody has claimed the chunk yet."""
        return self.row.state == "pending" and self.sent_at is not None

    def age(self) -> float:
        """Seconds since the latest hint was sent; 0 where none is out."""
        return 0.0 if self.sent_at is None else time.monotonic() - self.sent_at

    def overdue(self) -> bool:
        """Whether the hint has been out for so long that it may be lost."""
        return self.age() > self._patience

    def forgive(self) -> None:
        """Start the lease anew."""
        self._heard = time.monotonic()


class Flights:
    """The chunks in flight of one phase of a job, and the sums over those that have landed.

    Attributes:
        cursor: Chunks before it are in flight or have landed.
        failure: Set when a chunk has failed: the job fails.
        moved: Progress was made since it was last written to the job, at `counted_at`.
    """

    def __init__(self, phase: Phase) -> None:
        self.phase = phase
        self.open: dict[str, Flight] = {}
        self.cursor = 0
        self.failure: Failure | None = None
        self.moved = False
        self.counted_at = float("-inf")
        self._sums = {"done": 0, "units_done": 0, "rows": 0, "bytes": 0, "dead": 0}

    def land(self, row: Row) -> None:
        """Count a chunk that is done or has failed."""
        if row.state == "failed":
            reason = row.error or Failure(code="failed", message="no reason given", chunk=row.key)
            self.failure = self.failure or reason
        elif row.receipt is not None:
            self.moved = True
            receipt = row.receipt
            for name, value in (
                ("done", 1),
                ("units_done", row.hi - row.lo),
                ("rows", receipt.rows),
                ("bytes", receipt.bytes),
                ("dead", len(receipt.dead)),
            ):
                self._sums[name] += value

    def totals(self) -> dict[str, int]:
        """The job's counters: what has landed, and the units done in running chunks."""
        rows = [flight.row for flight in self.open.values()]
        running = sum(min(row.progress, row.hi - row.lo) for row in rows if row.state == "running")
        return self._sums | {"units_done": self._sums["units_done"] + running}

    def note(self) -> str | None:
        """What holds a chunk up, or else what a running one says of itself, for people who wait."""
        rows = [flight.row for flight in self.open.values()]
        trouble = (
            f"waiting, chunk {row.key}: {row.error.message}"
            for row in rows
            if row.state == "pending" and row.error is not None
        )
        said = (row.status for row in rows if row.state == "running" and row.status)
        return next(trouble, None) or next(said, None)

    def complete(self, size: int) -> bool:
        """Whether all chunks of the phase have landed."""
        return self.cursor >= size and not self.open and self.failure is None

    def forgive(self) -> None:
        """Start every lease anew."""
        for flight in self.open.values():
            flight.forgive()
