"""Execute one chunk under the ledger: claim, work with a heartbeat, write the outcome.

The same code runs in a Celery worker's child and, with `--local`, in the caller's process.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.errors import Unavailable
from services.jobs import identity
from services.jobs.documents import Stale
from services.jobs.failures import after, blame, describe
from services.jobs.heartbeat import ChunkStopped, Heartbeat
from services.jobs.kind import Chunk, Context, Kind, Receipt, Unfinished
from services.jobs.ledger import Ledger
from services.jobs.records import Job, Row, chunk_key, now
from services.jobs.registry import kind_named, parse_spec

logger = logging.getLogger(__name__)

Outcome = Literal["done", "dropped", "fenced", "released", "retried", "failed"]
_PATIENCE = 300.0

_claiming = threading.Lock()
"""Two claims of one process, made within a millisecond, are the same document: each would take the other's
for its own whose answer was lost."""


class Hint(BaseModel):
    """What Redis carries: which chunk may be worth claiming. Never data, never a path."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    job: str = Field(pattern=r"^[a-z]{1,32}-\d{8}-\d{6}-[0-9a-f]{4}$")
    chunk: str = Field(pattern=r"^(plan|finish|\d{6,9})$")
    attempt: int = Field(ge=1, le=1_000_000)


def execute(ledger: Ledger, context: Context, hint: Hint, stop: threading.Event | None = None) -> Outcome:
    """Do what a hint says, if it is still worth doing.

    Returns:
        'dropped' (stale or unknown), 'fenced' (another worker has the chunk), 'released' (job paused
        or cancelled, or the chunk goes on in another attempt), 'retried' (failed, will be tried again),
        'failed' (given up) or 'done'.

    Raises:
        Unavailable: the ledger did not answer before the chunk was claimed; the hint is sent again.
    """
    with _claiming:
        claimed = _claim(ledger, hint)
    if claimed is None:
        logger.info("dropped %s:%s attempt %d: not claimable", hint.job, hint.chunk, hint.attempt)
        return "dropped"
    job, row, previous = claimed
    began = time.monotonic()
    kind = kind_named(job.kind)
    beat = Heartbeat(ledger, row, lease=context.settings.lease_seconds, soft_limit=kind.soft_limit, stop=stop)
    try:
        with beat:
            update = _work(
                ledger,
                kind,
                job,
                row,
                dataclasses.replace(
                    context,
                    checkpoint=beat.checkpoint,
                    log=beat.log,
                    status=beat.say,
                    previous=previous,
                    batch_scale=row.batch_scale,
                    job_id=job.id,
                    job_ended=ledger.has_ended,
                ),
            )
    except ChunkStopped as stopped:
        if stopped.verdict == "fenced":
            return "fenced"
        return _write(ledger, _released(beat.row), "released")
    except Unfinished as unfinished:
        return _write(ledger, _released(beat.row, unfinished.receipt), "released")
    except Exception as error:
        logger.warning("%s attempt %d: %s", row.id, row.attempt, error, exc_info=blame(error) == "defect")
        failed = after(beat.row, blame(error), describe(error), context.settings.max_attempts)
        return _write(ledger, failed, "failed" if failed.state == "failed" else "retried")
    return _write(ledger, _done(beat.row, update, time.monotonic() - began), "done")


def _claim(ledger: Ledger, hint: Hint) -> tuple[Job, Row, Receipt | None] | None:
    """Take the chunk, if the job runs and the chunk is pending under just this attempt.

    A chunk of a sequential kind only if the one before is done; its receipt comes along, or what the chunk
    itself has kept.
    """
    job = ledger.find_job(hint.job)
    row = ledger.row(hint.job, hint.chunk)
    if job is None or row is None or job.state != "running":
        return None
    if row.attempt != hint.attempt or row.state != "pending":
        return None
    previous = row.kept
    if row.step == "work" and int(row.key) and kind_named(job.kind).sequential:
        before = ledger.row(job.id, chunk_key(int(row.key) - 1))
        if before is None or before.state != "done":
            return None
        previous = row.kept or before.receipt
    claimed = {
        "state": "running",
        "worker": identity.me(),
        "beat": row.beat + 1,
        "wait": 0.0,
        "progress": 0,
        "status": "",
        "started": now(),
        "ended": None,
    }
    try:
        return job, ledger.save(row.model_copy(update=claimed)), previous
    except Stale:
        return None


def _work(ledger: Ledger, kind: Kind[Any], job: Job, row: Row, context: Context) -> dict[str, Any]:
    """Run the chunk's step; the fields of the row that it yields."""
    spec = parse_spec(job.spec)
    if row.step == "plan":
        ranges = [(chunk.lo, chunk.hi) for chunk in kind.plan(context, spec)]
        return {"ranges": ranges, "receipt": Receipt()}
    if row.step == "finish":
        receipts = [work.receipt or Receipt() for work in ledger.work_rows(job)]
        return {"result": kind.finish(context, spec, receipts), "receipt": Receipt()}
    return {"receipt": kind.run_chunk(context, spec, Chunk(n=int(row.key), lo=row.lo, hi=row.hi))}


def _done(row: Row, yielded: dict[str, Any], seconds: float) -> Row:
    about = {"seconds": round(seconds, 3), "worker": identity.show(row.worker)}
    return row.model_copy(
        update=yielded
        | {
            "receipt": yielded["receipt"].model_copy(update=about),
            "state": "done",
            "ended": now(),
            "error": None,
            "transients": 0,
            "progress": row.hi - row.lo,
        }
    )


def _released(row: Row, kept: Receipt | None = None) -> Row:
    """Given out again; what was kept is progress, and failures before it count no more."""
    progress = {"kept": kept, "tries": 0, "losses": 0, "transients": 0, "error": None} if kept else {}
    return row.model_copy(
        update={"state": "pending", "attempt": row.attempt + 1, "worker": "", "progress": 0} | progress
    )


def _write(ledger: Ledger, row: Row, outcome: Outcome) -> Outcome:
    """Write the outcome, with patience: the work is done, only the ledger may be away for a while."""
    deadline = time.monotonic() + _PATIENCE
    pause = 0.2
    while True:
        try:
            ledger.save(row)
            return outcome
        except Stale:
            return "fenced"
        except Unavailable as error:
            if time.monotonic() > deadline:
                logger.error("%s: outcome lost, the chunk will run again: %s", row.id, error.message)
                return "fenced"
            time.sleep(pause)
            pause = min(pause * 2, 5.0)
