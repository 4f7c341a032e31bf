"""Jobs: list, show, cancel, retry. Shapes as `msmctl jobs … --json`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from services.api.authentication import allowed
from services.api.console.console import Consoled
from services.api.errors import Forbidden
from services.api.keys.key import Key
from services.api.problems import responses
from services.jobs import steering
from services.jobs.ledger import Ledger
from services.jobs.records import Job
from services.jobs.view import details, summary

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
Admin = Annotated[Key, Depends(allowed("admin"))]


@router.get("", responses=responses())
def jobs(console: Consoled, key: Admin, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> dict[str, Any]:
    """The newest jobs first, of the collections that the key may ask."""
    ledger = console.ledger
    found = ledger.jobs_of(key.collections, limit) if key.collections else ledger.jobs(limit=limit)
    return {"jobs": [summary(job) for job in found]}


@router.get("/{job}", responses=responses(404))
def show(console: Consoled, key: Admin, job: str) -> dict[str, Any]:
    """All of one job: spec, error, chunks in trouble, dead rows."""
    ledger = console.ledger
    return details(ledger, _reached(ledger, key, job))


@router.post("/{job}/cancel", responses=responses(404, 409))
def cancel(console: Consoled, key: Admin, job: str) -> dict[str, Any]:
    """End a job; chunks that are done stay done."""
    ledger = console.ledger
    return summary(steering.cancel(ledger, _reached(ledger, key, job).id))


@router.post("/{job}/retry", responses=responses(404, 409))
def retry(console: Consoled, key: Admin, job: str) -> dict[str, Any]:
    """Open an ended job again, and the ended ones that it needs."""
    ledger = console.ledger
    return {"jobs": [summary(one) for one in steering.retry(ledger, _reached(ledger, key, job).id)]}


def _reached(ledger: Ledger, key: Key, job_id: str) -> Job:
    """A job of a collection that the key may ask.

    Raises:
        NotFound: there is no such job. Forbidden: it is of another collection.
    """
    job = ledger.job(job_id)
    if not key.reaches(job.collection):
        raise Forbidden(
            f"key '{key.id}' may not see jobs of collection '{job.collection}'",
            hint=f"it may ask: {', '.join(key.collections)}",
        )
    return job
