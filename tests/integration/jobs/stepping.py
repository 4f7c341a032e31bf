"""Jobs step by step: submit, plan, hand out, execute, so that a test can look in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from services.jobs.dispatch import Dispatcher
from services.jobs.execute import execute
from services.jobs.kind import Chunk, Context, Receipt
from services.jobs.ledger import Ledger
from services.jobs.local import MemoryBroker, run_here
from services.jobs.records import Job, Row
from services.jobs.submit import Submission, forced, submit
from tests.integration.jobs.scripted_kind import Script, ScriptedSpec

Register = Callable[[Script], str]
ELSEWHERE = "elsewhere/1/0/another-machine"


def send(ledger: Ledger, context: Context, *specs: ScriptedSpec, runner: str = "test") -> Submission:
    return submit(ledger, context, [forced(spec) for spec in specs], runner=runner)


def run(ledger: Ledger, context: Context, *specs: ScriptedSpec) -> list[Job]:
    submission = send(ledger, context, *specs)
    return run_here(ledger, context, [job.id for job in submission.jobs], "test")


def dispatcher(ledger: Ledger, context: Context, job: Job) -> tuple[Dispatcher, MemoryBroker]:
    broker = MemoryBroker()
    return Dispatcher(ledger, broker, context.settings, lambda: ledger.jobs_by_id([job.id])), broker


def started(ledger: Ledger, context: Context, spec: ScriptedSpec) -> tuple[Job, Dispatcher, MemoryBroker]:
    """A job that is planned, with its first window of hints on the broker."""
    (job,) = send(ledger, context, spec).jobs
    dispatch, broker = dispatcher(ledger, context, job)
    while (job := ledger.job(job.id)).phase == "plan":
        dispatch.tick()
        if broker.hints:
            assert execute(ledger, context, broker.hints.popleft()) == "done"
    dispatch.tick()
    return job, dispatch, broker


def finish(ledger: Ledger, context: Context, job: Job, dispatch: Dispatcher, broker: MemoryBroker) -> Job:
    deadline = time.monotonic() + 20
    while (job := ledger.job(job.id)).ended is None and time.monotonic() < deadline:
        dispatch.tick()
        if broker.hints:
            execute(ledger, context, broker.hints.popleft())
    return job


def at_once(times: int, what: Callable[[], None]) -> None:
    threads = [threading.Thread(target=what) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def row(ledger: Ledger, job: Job, key: str) -> Row:
    found = ledger.row(job.id, key)
    assert found is not None
    return found


def claimed_elsewhere(ledger: Ledger, job: Job, key: str) -> Row:
    """The chunk as a worker on another machine claims it, and is never heard of again."""
    return ledger.save(row(ledger, job, key).model_copy(update={"state": "running", "worker": ELSEWHERE}))


def raising(error: Exception) -> Script:
    def fail(context: Context, chunk: Chunk) -> Receipt:
        raise error

    return fail
