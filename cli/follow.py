"""Follow jobs that somebody works on: progress, outages, how they ended."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from cli.output import say
from cli.progress import Progress, progress
from services.errors import DeadRows, MsmError, TimedOut, Unavailable

if TYPE_CHECKING:
    from services.jobs.ledger import Ledger
    from services.jobs.records import Job

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.3
_OUTAGE = 300.0
"""Seconds that a waiting command bears without the ledger; the jobs go on anyway."""
_LOOK_AFTER = 15.0
"""Seconds between two looks at whether anybody works at all."""


def follow(
    ledger: Ledger,
    job_ids: Sequence[str],
    *,
    over: Callable[[], bool] = lambda: False,
    timeout: float | None = None,
) -> list[Job]:
    """Show progress until all jobs have ended (or `over` says so); the jobs as they are then.

    Raises:
        TimedOut: they had not ended after `timeout` seconds.
        MsmError: a job's own process has gone, or a job was removed.
        Unavailable: the ledger has not answered for five minutes.
    """
    said: set[str] = set()
    watched: set[str] = set()
    lookout = _Lookout(ledger)
    deadline = math.inf if timeout is None else time.monotonic() + timeout

    def enough() -> bool:
        return over() or time.monotonic() > deadline

    while not enough():
        active = next((job for job in _read(ledger, job_ids) if job.ended is None), None)
        if active is None:
            break
        if active.state == "paused" and active.id not in said:
            say(f"{active.title}: paused; `msmctl jobs resume {active.id}` goes on")
            said.add(active.id)
        lookout.look(active)
        if active.state == "running":
            if _watch_one(ledger, active, lookout, enough):
                watched.add(active.id)
        else:
            time.sleep(2 * FIRST_PAUSE)
    jobs = _read(ledger, job_ids)
    for job in jobs:
        if job.id not in watched and job.ended_well:  # all was done before the first look
            say(f"{job.title}: {job.units_done:,} done")
    if time.monotonic() > deadline and any(job.ended is None for job in jobs):
        raise timed_out(jobs, timeout or 0)
    return jobs


def timed_out(jobs: Sequence[Job], seconds: float) -> TimedOut:
    """The error of a command that has waited long enough."""
    unfinished = [job for job in jobs if job.ended is None]
    return TimedOut(
        f"not done after {seconds:g} seconds, and goes on: {', '.join(job.title for job in unfinished)}",
        hint=f"msmctl jobs watch {' '.join(job.id for job in unfinished)}",
    )


def raise_for(jobs: Sequence[Job]) -> None:
    """The first bad end of some jobs as an error; nothing when all ended well.

    Raises:
        MsmError: failed or cancelled.
        DeadRows: complete but for rows.
    """
    failed = [job for job in jobs if job.state == "failed"]
    # A requirement's failure says more than that of the job which needed it.
    for job in sorted(failed, key=lambda job: bool(job.error and job.error.code == "requirement")):
        reason = job.error.message if job.error else "no reason given"
        where = f", chunk {job.error.chunk}" if job.error and job.error.chunk else ""
        hint = (job.error.hint if job.error else None) or f"`msmctl jobs show {job.id}` says more"
        raise MsmError(
            f"{job.title} failed ({job.id}{where}): {reason}",
            hint=f"{hint}; then `msmctl jobs retry {job.id}`",
        )
    for job in jobs:
        if job.state == "cancelled":
            raise MsmError(
                f"{job.title} was cancelled ({job.id})", hint=f"`msmctl jobs retry {job.id}` goes on"
            )
    dead = [job for job in jobs if job.state == "dead_rows"]
    if dead:
        counts = ", ".join(f"{job.id}: {job.dead:,}" for job in dead)
        raise DeadRows(
            f"complete but for rows that could not be processed ({counts})",
            hint=f"`msmctl jobs show {dead[0].id}` lists them",
        )


def patiently(ask: Callable[[], T], seconds: float = _OUTAGE) -> T:
    """Ask a service that may be away for a while, saying so once."""
    deadline = time.monotonic() + seconds
    pause, said = 0.5, False
    while True:
        try:
            return ask()
        except Unavailable as error:
            if time.monotonic() > deadline:
                raise
            if not said:
                say(f"waiting: {error.message}")
                said = True
            time.sleep(pause)
            pause = min(pause * 1.5, 5.0)


class _Lookout:
    """Looks now and then whether anybody works on a job: what nobody works on never ends."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._next = 0.0

    def look(self, job: Job) -> None:
        """Say that no dispatcher runs; raise `MsmError` when the local run behind the job has gone."""
        from services.jobs import identity
        from services.jobs.records import STACK
        from services.jobs.submit import dispatcher_alive

        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _LOOK_AFTER
        if job.runner == STACK:
            if not patiently(lambda: dispatcher_alive(self._ledger)):
                say("no dispatcher has been seen for half a minute; `msmctl up` starts it")
        elif identity.is_gone(job.runner):
            raise MsmError(
                f"{job.title}: the local run {identity.show(job.runner)} that worked on it has gone",
                hint="type the command that made it again: it goes on from here",
            )


def _watch_one(ledger: Ledger, job: Job, lookout: _Lookout, over: Callable[[], bool]) -> bool:
    """Show one running job until it does not run any more; whether it did anything meanwhile."""
    pause = FIRST_PAUSE
    with progress(job.units or None, job.title, before=job.units_done) as bar:
        while job.state == "running" and not over():
            before = job
            _show(bar, job)
            time.sleep(pause)
            job = _read(ledger, [job.id])[0]
            lookout.look(job)
            pause = FIRST_PAUSE if job.phase != before.phase else min(pause * 1.3, LONGEST_PAUSE)
        _show(bar, _read(ledger, [job.id])[0])
    return bar.done > bar.before


def _show(bar: Progress, job: Job) -> None:
    bar.total = job.units or None
    bar.note = (
        job.note
        or {"plan": "planning", "work": f"chunk {job.done:,} of {job.chunks or 0:,}", "finish": "finishing"}[
            job.phase
        ]
    )
    bar.advance(max(job.units_done - bar.done, 0))


def _read(ledger: Ledger, ids: Sequence[str]) -> list[Job]:
    jobs = patiently(lambda: ledger.jobs_by_id(ids))
    if len(jobs) < len(ids):
        missing = set(ids) - {job.id for job in jobs}
        raise MsmError(f"removed meanwhile: {', '.join(sorted(missing))}", hint="`msmctl jobs ls`")
    return jobs
