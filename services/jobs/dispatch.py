"""The dispatcher's logic: moves open jobs on and keeps a bounded window of hints on the broker.

It decides from real-time reads and compare-and-set alone, so that it may be killed at any moment, and
so that a second one (a zombie after a long stop) does no harm. All it remembers can be rebuilt from the
ledger; its memory is bounded by the window, whatever the number of chunks.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from services.errors import InputError, NotFound
from services.jobs import identity
from services.jobs.documents import Stale
from services.jobs.failures import after, describe
from services.jobs.flight import Flight, Flights
from services.jobs.hints import Broker, Hints
from services.jobs.ledger import Ledger
from services.jobs.records import Failure, Job, Phase, Row, chunk_key, new_row, now, row_id
from services.jobs.registry import kind_named
from services.settings import Settings

logger = logging.getLogger(__name__)

_SCAN = 500
_COUNT_PERIOD = 0.5
"""Seconds between two writes of a job's counters."""


class Dispatcher:
    """Call `tick` again and again.

    Args:
        ledger: The truth.
        broker: Where hints go.
        settings: `window`, `lease_seconds`, `max_attempts`.
        open_jobs: Gives the jobs to care for.
    """

    def __init__(
        self, ledger: Ledger, broker: Broker, settings: Settings, open_jobs: Callable[[], list[Job]]
    ) -> None:
        self._ledger = ledger
        self._hints = Hints(broker)
        self._settings = settings
        self._open_jobs = open_jobs
        self._flights: dict[str, Flights] = {}

    def tick(self) -> bool:
        """Look at every open job once; whether anything changed (then the next tick should come soon).

        Raises:
            Unavailable: the ledger does not answer; call `forgive` before the next tick.
        """
        jobs = [
            job
            for job in sorted(self._open_jobs(), key=lambda job: (job.created, job.id))
            if job.state in ("pending", "running") and self._is_known(job)
        ]
        running = [job for job in jobs if job.state == "running"]
        for gone in self._flights.keys() - {job.id for job in running}:
            del self._flights[gone]
        shares = self._shares(running)
        rows = self._ledger.rows_by_id([row for flights in self._flights.values() for row in flights.open])
        changed = False
        for job in jobs:
            changed |= (
                self._start(job) if job.state == "pending" else self._advance(job, shares[job.id], rows)
            )
        self._hints.send([flight for flights in self._flights.values() for flight in flights.open.values()])
        return changed

    def forgive(self) -> None:
        """After an outage of the ledger: leases start anew, as nobody could extend one."""
        for flights in self._flights.values():
            flights.forgive()

    # -- jobs --------------------------------------------------------------------------------------

    def _is_known(self, job: Job) -> bool:
        """Fail a job of a kind that this version does not know, so that the others go on."""
        try:
            kind_named(job.kind)
        except InputError as error:
            self._end(job, "failed", error=describe(error))
            return False
        return True

    def _start(self, job: Job) -> bool:
        """Begin a job whose requirements are met; fail it when one of them has ended badly."""
        needs = self._ledger.jobs_by_id(job.depends_on)  # one that was removed is judged by its artefact
        bad = next((need for need in needs if need.state in ("failed", "cancelled")), None)
        if bad is not None:
            self._end(
                job,
                "failed",
                error=Failure(
                    code="requirement",
                    message=f"needs {bad.id} ({bad.title}), which has {_verb(bad)}",
                    hint=f"`msmctl jobs retry {job.id}` tries both again",
                ),
            )
            return True
        if not all(need.ended_well for need in needs):
            return False
        self._ledger.create_rows([new_row(job, "plan", "plan")])
        self._change(
            job,
            lambda present: (
                present.model_copy(update={"state": "running", "started": now()})
                if present.state == "pending"
                else None
            ),
        )
        return True

    def _shares(self, running: Sequence[Job]) -> dict[str, int]:
        """How much of its queue's window each job may fill: equal shares, so that none starves.

        One chunk of a sequential kind: as chunks are taken in order, that is the first which is not done.
        """
        counts = Counter(job.queue for job in running)
        return {
            job.id: 1
            if kind_named(job.kind).sequential
            else max(1, self._settings.window // counts[job.queue])
            for job in running
        }

    def _advance(self, job: Job, share: int, rows: dict[str, Row]) -> bool:
        flights = self._flights.get(job.id)
        if flights is None or flights.phase != job.phase:
            flights = self._flights[job.id] = Flights(job.phase)
        changed = self._watch(job, flights, rows)
        changed |= self._fill(job, flights, share)
        if flights.failure is not None:
            self._end(job, "failed", error=flights.failure)
            return True
        if flights.complete(self._size(job)):
            self._next_phase(job, flights)
            return True
        if flights.moved and time.monotonic() - flights.counted_at > _COUNT_PERIOD:
            self._count(job, flights)
        return changed

    @staticmethod
    def _size(job: Job) -> int:
        return (job.chunks or 0) if job.phase == "work" else 1

    def _next_phase(self, job: Job, flights: Flights) -> None:
        """From plan to work to finish to the end. Each step may be repeated after a crash."""
        if job.phase == "plan":
            plan = self._ledger.row(job.id, "plan")
            ranges = (plan.ranges if plan else None) or []
            self._ledger.create_rows(
                [new_row(job, chunk_key(n), "work", lo, hi) for n, (lo, hi) in enumerate(ranges)]
            )
            if not ranges:
                self._ledger.create_rows([new_row(job, "finish", "finish")])
            self._enter(
                job,
                "work" if ranges else "finish",
                chunks=len(ranges),
                units=sum(hi - lo for lo, hi in ranges),
            )
        elif job.phase == "work":
            self._ledger.create_rows([new_row(job, "finish", "finish")])
            self._enter(job, "finish", **flights.totals())
        else:
            finish = self._ledger.row(job.id, "finish")
            self._end(job, "dead_rows" if job.dead else "succeeded", result=finish.result if finish else None)

    def _enter(self, job: Job, phase: Phase, **counters: int) -> None:
        update = {"phase": phase, "note": None, **counters}
        self._change(
            job, lambda present: present.model_copy(update=update) if present.phase == job.phase else None
        )

    def _count(self, job: Job, flights: Flights) -> None:
        flights.moved, flights.counted_at = False, time.monotonic()
        update = {"note": flights.note(), **(flights.totals() if job.phase == "work" else {})}
        if any(getattr(job, name) != value for name, value in update.items()):
            self._change(job, lambda present: present.model_copy(update=update))

    def _end(self, job: Job, state: str, **fields: Any) -> None:
        logger.info("%s %s", job.id, state)
        update = {"state": state, "ended": now(), "error": None, "note": None, **fields}
        self._change(
            job,
            lambda present: (
                present.model_copy(update=update) if present.state in ("pending", "running") else None
            ),
        )
        self._flights.pop(job.id, None)

    def _change(self, job: Job, change: Callable[[Job], Job | None]) -> None:
        """As `Ledger.change_job`, for a job that may have been removed meanwhile."""
        with suppress(NotFound):
            self._ledger.change_job(job.id, change)

    # -- chunks ------------------------------------------------------------------------------------

    def _watch(self, job: Job, flights: Flights, rows: dict[str, Row]) -> bool:
        """Take in what has happened to the chunks in flight; expire leases."""
        changed = False
        for row_key, flight in list(flights.open.items()):
            row = rows.get(row_key)
            if row is None:  # the job was removed under us
                del flights.open[row_key]
            elif row.state in ("done", "failed"):
                del flights.open[row_key]
                self._landed(flights, row)
                changed = True
            elif flight.see(row) and row.state == "running" and self._is_lost(flight):
                self._expire(row)
                changed = True
            flights.moved |= flight.moved
        return changed

    def _landed(self, flights: Flights, row: Row) -> None:
        if row.receipt is not None and row.receipt.dead:
            self._ledger.add_dead(row, row.receipt.dead)
        flights.land(row)

    def _is_lost(self, flight: Flight) -> bool:
        return flight.silent() > self._settings.lease_seconds or identity.is_gone(flight.row.worker)

    def _expire(self, row: Row) -> None:
        logger.warning("%s attempt %d: lost worker %s", row.id, row.attempt, row.worker)
        failure = Failure(
            code="lost_worker",
            message=f"worker {identity.show(row.worker)} vanished",
            hint="killed, out of memory, or cut off: see `msmctl logs worker`",
        )
        try:
            self._ledger.save(after(row, "lost", failure, self._settings.max_attempts))
        except Stale:
            logger.info("%s: came back just in time", row.id)

    def _fill(self, job: Job, flights: Flights, share: int) -> bool:
        """Take chunks into flight in order, until the share is full; those that are over are counted."""
        size = self._size(job)
        before = flights.cursor
        block = 0
        while flights.cursor < size and len(flights.open) < share and flights.failure is None:
            block = min(max(2 * block, share - len(flights.open)), _SCAN)
            names = (
                [chunk_key(n) for n in range(flights.cursor, min(flights.cursor + block, size))]
                if job.phase == "work"
                else [job.phase]
            )
            rows = self._ledger.rows_by_id([row_id(job.id, name) for name in names])
            for name in names:
                if len(flights.open) >= share:
                    break
                row = rows.get(row_id(job.id, name))
                if row is None:
                    return flights.cursor > before
                flights.cursor += 1
                if row.state in ("done", "failed"):
                    self._landed(flights, row)
                else:
                    flights.open[row.id] = Flight(row)
        return flights.cursor > before


def _verb(job: Job) -> str:
    return "failed" if job.state == "failed" else "been cancelled"
