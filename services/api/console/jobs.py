"""Jobs: list, show, cancel, retry."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from services.api.console.console import Console
from services.jobs import steering
from services.jobs.view import details, summary


def router(console: Console) -> APIRouter:
    """The routes under `/v1/jobs`; shapes as `msmctl jobs … --json`."""
    routes = APIRouter(prefix="/v1/jobs", tags=["jobs"])

    @routes.get("")
    def jobs(limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> dict[str, Any]:
        """The newest jobs first."""
        return {"jobs": [summary(job) for job in console.ledger.jobs(limit=limit)]}

    @routes.get("/{job}")
    def show(job: str) -> dict[str, Any]:
        """All of one job: spec, error, chunks in trouble, dead rows."""
        ledger = console.ledger
        return details(ledger, ledger.job(job))

    @routes.post("/{job}/cancel")
    def cancel(job: str) -> dict[str, Any]:
        """End a job; chunks that are done stay done."""
        return summary(steering.cancel(console.ledger, job))

    @routes.post("/{job}/retry")
    def retry(job: str) -> dict[str, Any]:
        """Open an ended job again, and the ended ones that it needs."""
        return {"jobs": [summary(opened) for opened in steering.retry(console.ledger, job)]}

    return routes
