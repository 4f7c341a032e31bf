"""The rows of the ledger: a job and its chunks. Immutable in use: a change is a copy that is written back."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.jobs.kind import Queue, Receipt, Spec

JobState = Literal["draft", "pending", "running", "paused", "succeeded", "dead_rows", "failed", "cancelled"]
"""A draft is written, but not yet the open job of its spec: nobody sees it or works on it."""
OPEN: tuple[JobState, ...] = ("pending", "running", "paused")
ENDED: tuple[JobState, ...] = ("succeeded", "dead_rows", "failed", "cancelled")
STATES: tuple[JobState, ...] = OPEN + ENDED
Phase = Literal["plan", "work", "finish"]
RowState = Literal["pending", "running", "done", "failed"]

STACK = "stack"
"""The runner of jobs that the dispatcher hands to workers; else the process of a `--local` run."""
LOG_LINES = 50
"""The ledger keeps so many of a chunk's latest log lines."""


def now() -> str:
    """The present time as the ledger writes it: UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Failure(BaseModel):
    """Why a chunk or a job does not go on. `detail` is the end of a traceback, for defects."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    code: str
    message: str
    hint: str | None = None
    detail: str | None = None
    chunk: str | None = None


class Job(BaseModel):
    """A job as the ledger keeps it. Counters are written by the dispatcher alone."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    kind: str
    queue: Queue
    collection: str
    title: str
    spec: dict[str, Any]
    hash: str
    state: JobState = "draft"
    phase: Phase = "plan"
    depends_on: list[str] = []
    runner: str = STACK
    created: str
    started: str | None = None
    ended: str | None = None
    chunks: int | None = None
    """Chunks of the work phase; None until planned."""
    done: int = 0
    units: int = 0
    """Sum of `hi - lo` over the chunks: what progress is measured in."""
    units_done: int = 0
    rows: int = 0
    bytes: int = 0
    dead: int = 0
    note: str | None = None
    """What holds it up at present, such as a service that does not answer; else what its chunk says."""
    error: Failure | None = None
    result: dict[str, Any] | None = None
    version: str = Field(default="", exclude=True)

    @property
    def ended_well(self) -> bool:
        """Whether jobs that need this one may start."""
        return self.state in ("succeeded", "dead_rows")


class Row(BaseModel):
    """A chunk as the ledger keeps it; planning and finishing are chunks too.

    Attributes:
        attempt: The fencing token: a message or a worker with another one is stale.
        beat: Counts heartbeats; a lease has run out when it stands still for so long by the
            observer's own clock, so that the clocks of hosts need not agree.
        wait: Seconds that the dispatcher waits before this attempt.
        tries: Failures that count towards `max_attempts`.
        losses: Workers that vanished with this chunk.
        transients: Failures in a row of services that did not answer.
        progress: Units done so far in this attempt.
        status: What the chunk says of itself, such as its present loss.
        kept: What earlier attempts have kept of a chunk that is not done (`Unfinished`).
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    job: str
    key: str
    step: Phase
    kind: str
    collection: str
    queue: Queue
    created: str
    lo: int = 0
    hi: int = 0
    state: RowState = "pending"
    attempt: int = 1
    worker: str = ""
    beat: int = 0
    wait: float = 0.0
    tries: int = 0
    losses: int = 0
    transients: int = 0
    batch_scale: float = 1.0
    progress: int = 0
    status: str = ""
    started: str | None = None
    ended: str | None = None
    error: Failure | None = None
    receipt: Receipt | None = None
    kept: Receipt | None = None
    ranges: list[tuple[int, int]] | None = None
    """What the plan chunk planned: (lo, hi) of each work chunk. One document, so a plan is never half."""
    result: dict[str, Any] | None = None
    """What the finish chunk returned."""
    log: list[str] = []
    version: str = Field(default="", exclude=True)

    @property
    def id(self) -> str:
        """The id of the row's document."""
        return row_id(self.job, self.key)


def row_id(job: str, key: str) -> str:
    """The id of a chunk's document: `<job>:plan`, `<job>:000123` or `<job>:finish`."""
    return f"{job}:{key}"


def chunk_key(n: int) -> str:
    """The key of a work chunk."""
    return f"{n:06d}"


def new_job(spec: Spec, queue: Queue, depends_on: list[str], runner: str) -> Job:
    """A job that has not been written yet."""
    return Job(
        id=new_id(spec.kind),
        kind=spec.kind,
        queue=queue,
        collection=spec.collection,
        title=spec.title,
        spec=spec.model_dump(mode="json"),
        hash=spec.hash,
        depends_on=depends_on,
        runner=runner,
        created=now(),
    )


def new_id(kind: str) -> str:
    """An id that sorts by time and is short to say, `mine-20261121-073015-ab12`; unique but for rare luck."""
    return f"{kind}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def new_row(job: Job, key: str, step: Phase, lo: int = 0, hi: int = 0) -> Row:
    """A chunk that nobody has worked on yet."""
    return Row(
        job=job.id,
        key=key,
        step=step,
        kind=job.kind,
        collection=job.collection,
        queue=job.queue,
        created=now(),
        lo=lo,
        hi=hi,
    )
