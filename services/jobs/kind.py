"""What a kind of job is: a queue, limits, and three pure functions over a spec.

A new kind is one file in `services/jobs/kinds` and one line in `services/jobs/registry.py`. A kind
knows neither Celery nor the ledger: the same code runs in a worker and, with `--local`, in-process.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from services.settings import Settings
from services.store import Part, Store, fingerprint

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

Queue = Literal["cpu", "gpu", "train"]


class Spec(BaseModel):
    """What a job shall do: immutable, JSON, small. Its hash is the idempotency key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    collection: str
    collection_version: int
    """The state of the collection that the job works on: a later update does not change a running job."""
    nonce: str = ""
    """Set by `--force`, so that the job is not the same as an earlier one."""

    @property
    def hash(self) -> str:
        """Fingerprint of the spec."""
        return fingerprint(self.model_dump(mode="json"))

    @property
    def title(self) -> str:
        """One line for people, such as `mine squad/train bm25`."""
        return f"{self.kind} {self.collection}"

    def covers(self, needed: Spec) -> bool:
        """Whether what this makes serves somebody who needs that; the same spec does."""
        return self == needed


class Chunk(BaseModel):
    """A range of a job's work, never data. What `lo` and `hi` count is the kind's affair."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n: int
    lo: int
    hi: int


class DeadRow(BaseModel):
    """A row that could not be processed: its id (pid or qid) and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    row: str
    reason: str


class Receipt(BaseModel):
    """What a chunk did, written to the ledger after the sink acknowledged."""

    model_config = ConfigDict(extra="forbid")

    rows: int = 0
    bytes: int = 0
    parts: list[Part] = []
    dead: list[DeadRow] = []
    facts: dict[str, Any] = {}
    """Small JSON facts that `finish` needs (device, model fingerprint, counts)."""
    seconds: float = 0.0
    """Filled in by the executor."""
    worker: str = ""
    """Filled in by the executor."""


class Unfinished(Exception):
    """Raised by a chunk that has done what it may do at a time: it is given out again, as no failure.

    Attributes:
        receipt: What it has kept; the next attempt is handed it as `Context.previous`.
    """

    def __init__(self, receipt: Receipt) -> None:
        super().__init__("to be continued")
        self.receipt = receipt


class Estimate(BaseModel):
    """What a job would cost. None: does not apply to this kind, or is not known before something is measured.

    Attributes:
        chunks: Of the work phase.
        rows: What is to be done, in the kind's own unit: rows to encode, queries to mine, pairs to score.
        bytes: That the store will take.
        elastic_bytes: That Elasticsearch will take.
        passages: That are worked on.
        queries: Likewise.
        pairs: Pairs of query and passage, as systems and positives name them.
        unique_pairs: Distinct ones; `rows` of them are still to be scored.
        tokens: That a model will read, padding left out.
        seconds: Of one worker on one device, all phases; several workers divide it.
        startup: Seconds that a process takes, once, to load a model. Not in `seconds`.
        device: Where `seconds` was measured: `cpu`, or the accelerator's name.
        memory: Peak bytes of the worker, its children included.
        device_memory: Peak bytes on an accelerator.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    chunks: int
    rows: int
    bytes: int = 0
    elastic_bytes: int | None = None
    passages: int | None = None
    queries: int | None = None
    pairs: int | None = None
    unique_pairs: int | None = None
    tokens: int | None = None
    seconds: float | None = None
    startup: float = 0.0
    device: str | None = None
    memory: int | None = None
    device_memory: int | None = None


@dataclass
class Context:
    """What a chunk may touch. Workers touch only the store and Elasticsearch.

    Attributes:
        elastic: Gives a client (built on first call); raises `Unavailable`.
        checkpoint: Called between batches with the rows done so far in this chunk; raises when the
            chunk was cancelled, paused or given to another worker. Cheap enough for every batch.
        batch_scale: 1.0, or less after the chunk ran out of memory: scale memory-hungry batches by it.
        log: One line for `msmctl jobs logs`.
        status: A word on where the chunk stands, for people who watch the job.
        previous: Of a sequential kind: the receipt of the chunk before, or of what this chunk has kept so
            far (`Unfinished`). The ledger vouches for it.
        job_id: The job's id, such as a name for what it creates.
        job_ended: Whether a job has ended or was removed, so that nobody works on what it created; False
            where we cannot know.
    """

    settings: Settings
    store: Store
    elastic: Callable[[], Elasticsearch]
    checkpoint: Callable[[int], None] = field(default=lambda rows: None)
    batch_scale: float = 1.0
    log: Callable[[str], None] = field(default=lambda line: None)
    status: Callable[[str], None] = field(default=lambda word: None)
    previous: Receipt | None = None
    job_id: str = ""
    job_ended: Callable[[str], bool] = field(default=lambda job_id: False)


S = TypeVar("S", bound=Spec)


class Kind(ABC, Generic[S]):
    """A kind of job. All methods may run twice, in any process; effects must be idempotent."""

    name: ClassVar[str]
    queue: ClassVar[Queue]
    soft_limit: ClassVar[float] = 270.0
    hard_limit: ClassVar[float] = 330.0
    spec_type: ClassVar[type[Spec]]
    sequential: ClassVar[bool] = False
    """Each chunk goes on from the one before: it is given out only when that one is done."""

    def queue_of(self, spec: S) -> Queue:
        """The queue of one spec; a kind whose specs differ in what they need overrides this."""
        return self.queue

    def mends_dead_rows(self, spec: S) -> str | None:
        """The command that processes a job's dead rows where trying its chunks again cannot, else None."""
        return None

    @abstractmethod
    def fresh(self, context: Context, spec: S) -> str | None:
        """What makes the work unnecessary (the artefact, in words), or None. Judged by the artefact."""

    def requires(self, context: Context, spec: S) -> list[Spec]:
        """Specs of jobs whose results this one needs first; fresh ones are skipped by the caller."""
        return []

    @abstractmethod
    def plan(self, context: Context, spec: S) -> list[Chunk]:
        """Cut the work. Deterministic for the same spec and state; no chunks means nothing to do."""

    @abstractmethod
    def run_chunk(self, context: Context, spec: S, chunk: Chunk) -> Receipt:
        """Do one chunk."""

    @abstractmethod
    def finish(self, context: Context, spec: S, receipts: Sequence[Receipt]) -> dict[str, Any]:
        """Merge, gate, swap; receipts in chunk order. Returns the job's result (small JSON)."""

    @abstractmethod
    def estimate(self, context: Context, spec: S) -> Estimate:
        """Costs, without doing anything."""

    def measure(self, context: Context, spec: S) -> Estimate:
        """Costs as measured here, by a few seconds of work that leave nothing behind.

        What the job requires need not be there yet. A kind whose costs nothing but counts decide has
        nothing to measure.
        """
        return self.estimate(context, spec)
