"""What people do to jobs: pause, resume, cancel, retry, remove."""

from __future__ import annotations

from services.errors import Conflict, MsmError
from services.jobs.documents import Stale
from services.jobs.ledger import Ledger
from services.jobs.records import ENDED, STACK, Job, Row, now
from services.jobs.registry import kind_named, parse_spec


def pause(ledger: Ledger, job_id: str) -> Job:
    """Give out no more chunks; running ones stop at their next checkpoint and are handed back.

    Raises:
        Conflict: the job has ended.
    """

    def change(job: Job) -> Job | None:
        _must_be_open(job)
        return None if job.state == "paused" else job.model_copy(update={"state": "paused"})

    return ledger.change_job(job_id, change)


def resume(ledger: Ledger, job_id: str) -> Job:
    """Let a paused job go on.

    Raises:
        Conflict: it is not paused.
    """

    def change(job: Job) -> Job:
        if job.state != "paused":
            raise Conflict(
                f"{job.id} is {job.state}, not paused",
                hint=f"`msmctl jobs retry {job.id}`" if job.state in ENDED else None,
            )
        return job.model_copy(update={"state": "running" if job.started else "pending"})

    return ledger.change_job(job_id, change)


def cancel(ledger: Ledger, job_id: str) -> Job:
    """End a job; running chunks stop at their next checkpoint. Jobs that need it will fail.

    Raises:
        Conflict: it has ended already.
    """

    def change(job: Job) -> Job:
        _must_be_open(job)
        return job.model_copy(update={"state": "cancelled", "ended": now()})

    return ledger.change_job(job_id, change)


def remove(ledger: Ledger, job_id: str) -> Job:
    """Delete an ended job with its chunks, log and dead rows. What it made stays.

    Raises:
        Conflict: it is open.
    """
    job = ledger.job(job_id)
    if job.state not in ENDED:
        raise Conflict(f"{job.id} is {job.state}", hint=f"`msmctl jobs cancel {job.id}` first")
    ledger.remove_job(job)
    return job


def retry(ledger: Ledger, job_id: str) -> list[Job]:
    """Open an ended job again, and first the ended ones that it needs: chunks that are done stay done.

    Failed chunks get all their attempts anew; of a job with dead rows, the chunks that had some run again.

    Returns:
        The opened jobs, requirements first.

    Raises:
        Conflict: the job is open, has succeeded, or has dead rows that its kind cannot try again, or
            another one of the same spec is open.
    """
    job = ledger.job(job_id)
    again = job.state == "dead_rows"
    if job.state not in ("failed", "cancelled", "dead_rows"):
        raise Conflict(
            f"{job.id} is {job.state}: nothing to retry",
            hint="`--force` of the command that made it makes a new one",
        )
    if again and (command := kind_named(job.kind).mends_dead_rows(parse_spec(job.spec))):
        raise Conflict(
            f"{job.id} has made all it can: its dead rows would be refused again",
            hint=f"mend the rows, then `{command}` (`msmctl jobs show {job.id}` lists them)",
        )
    needed = [need for need in ledger.jobs_by_id(job.depends_on) if need.state in ("failed", "cancelled")]
    opened = [found for need in needed for found in retry(ledger, need.id)]
    holder = ledger.hold_spec(job)
    if holder.id != job.id:
        raise Conflict(f"{holder.id} does the same already", hint=f"`msmctl jobs watch {holder.id}`")
    for row in ledger.all_rows(job):
        if row.state == "failed" or (again and (row.step == "finish" or (row.receipt and row.receipt.dead))):
            _reopen(ledger, row)
    if again:
        ledger.remove_dead(job)
    return [*opened, ledger.change_job(job_id, lambda present: _opened(present, ledger.shared, again))]


def _opened(job: Job, shared: bool, again: bool) -> Job:
    """The job as open. Its counters are summed up anew by whoever runs it."""
    update = {
        "state": "running" if job.started else "pending",
        "ended": None,
        "error": None,
        "result": None,
        "runner": STACK if shared else job.runner,
    }
    return job.model_copy(update=update | ({"phase": "work", "dead": 0} if again else {}))


def _reopen(ledger: Ledger, row: Row) -> None:
    try:
        ledger.save(
            row.model_copy(
                update={
                    "state": "pending",
                    "attempt": row.attempt + 1,
                    "tries": 0,
                    "losses": 0,
                    "transients": 0,
                    "wait": 0.0,
                    "progress": 0,
                    "error": None,
                    "receipt": None,
                    "result": None,
                }
            )
        )
    except Stale:
        raise MsmError(f"{row.id} changed meanwhile", hint="try again") from None


def _must_be_open(job: Job) -> None:
    if job.state in ENDED:
        raise Conflict(f"{job.id} has ended: {job.state}")
