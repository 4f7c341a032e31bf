"""Pause, resume, cancel, remove."""

from __future__ import annotations

import threading
import time

import pytest

from services.errors import Conflict, NotFound
from services.jobs import steering
from services.jobs.execute import execute
from services.jobs.kind import Chunk, Context
from services.jobs.ledger import Ledger
from services.jobs.local import run_here
from tests.integration.jobs.scripted_kind import ScriptedSpec
from tests.integration.jobs.stepping import (
    Register,
    finish,
    row,
    run,
    send,
    started,
)


def test_pause_hands_running_chunks_back_and_resume_goes_on(
    ledger: Ledger, context: Context, script: Register
) -> None:
    def work(context: Context, chunk: Chunk) -> None:
        if chunk.n == 1 and row(ledger, job, "000001").attempt == 1:
            steering.pause(ledger, job.id)
            for _ in range(100):
                time.sleep(0.05)
                context.checkpoint(0)

    job, dispatch, broker = started(ledger, context, ScriptedSpec(script=script(work)))
    assert execute(ledger, context, broker.hints.popleft()) == "done"
    assert execute(ledger, context, broker.hints.popleft()) == "released"
    assert execute(ledger, context, broker.hints.popleft()) == "dropped"
    dispatch.tick()
    assert (ledger.job(job.id).state, len(broker.hints)) == ("paused", 0)
    steering.resume(ledger, job.id)
    job = finish(ledger, context, job, dispatch, broker)
    assert (job.state, row(ledger, job, "000001").tries) == ("succeeded", 0)


def test_cancel_ends_a_job_at_the_next_checkpoint(ledger: Ledger, context: Context, script: Register) -> None:
    def work(context: Context, chunk: Chunk) -> None:
        steering.cancel(ledger, job.id)
        for _ in range(100):
            time.sleep(0.05)
            context.checkpoint(0)

    job, _, broker = started(ledger, context, ScriptedSpec(script=script(work)))
    assert execute(ledger, context, broker.hints.popleft()) == "released"
    assert ledger.job(job.id).state == "cancelled"
    steering.retry(ledger, job.id)
    assert ledger.job(job.id).state == "running"


def test_stop_of_a_local_run_leaves_the_job_open(ledger: Ledger, context: Context, script: Register) -> None:
    stop = threading.Event()

    def work(context: Context, chunk: Chunk) -> None:
        if chunk.n == 1:
            stop.set()
            context.checkpoint(0)

    (job,) = send(ledger, context, ScriptedSpec(script=script(work))).jobs
    (job,) = run_here(ledger, context, [job.id], "test", stop)
    assert (job.state, row(ledger, job, "000001").state) == ("running", "pending")
    (job,) = run_here(ledger, context, [job.id], "test")
    assert job.state == "succeeded"


def test_states_forbid_what_makes_no_sense(ledger: Ledger, context: Context) -> None:
    (job,) = run(ledger, context, ScriptedSpec())
    for forbidden in (steering.pause, steering.resume, steering.cancel, steering.retry):
        with pytest.raises(Conflict):
            forbidden(ledger, job.id)
    (open_job,) = send(ledger, context, ScriptedSpec()).jobs
    for forbidden in (steering.resume, steering.retry, steering.remove):
        with pytest.raises(Conflict):
            forbidden(ledger, open_job.id)
    with pytest.raises(NotFound):
        steering.cancel(ledger, "mine-20000101-000000-0000")


def test_remove_leaves_nothing(ledger: Ledger, context: Context) -> None:
    (job,) = run(ledger, context, ScriptedSpec())
    steering.remove(ledger, job.id)
    assert ledger.find_job(job.id) is None
    assert list(ledger.all_rows(job)) == []
