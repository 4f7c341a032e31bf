"""Kinds whose chunks go on from one another: in order and one at a time, whatever happens on the way."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from services.errors import InputError
from services.jobs import steering
from services.jobs.execute import Hint, execute
from services.jobs.kind import Chunk, Context, Receipt
from services.jobs.ledger import Ledger
from services.jobs.local import run_here
from tests.integration.jobs.scripted_kind import ScriptedKind, ScriptedSpec
from tests.integration.jobs.stepping import (
    Register,
    claimed_elsewhere,
    dispatcher,
    finish,
    row,
    run,
    send,
    started,
)


@pytest.fixture(autouse=True)
def _sequential(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScriptedKind, "sequential", True)


def adding(context: Context, chunk: Chunk) -> Receipt:
    """Each chunk takes the sum of the one before and adds its own number."""
    before = context.previous.facts["sum"] if context.previous else 0
    return Receipt(rows=1, facts={"lo": chunk.lo, "sum": before + chunk.n})


def sums(ledger: Ledger, job: str) -> list[int]:
    return [work.receipt.facts["sum"] for work in ledger.work_rows(ledger.job(job)) if work.receipt]


def test_each_chunk_gets_the_receipt_of_the_one_before(
    ledger: Ledger, context: Context, script: Register
) -> None:
    (job,) = run(ledger, context, ScriptedSpec(chunks=6, script=script(adding)))
    assert (job.state, sums(ledger, job.id)) == ("succeeded", [0, 1, 3, 6, 10, 15])


def test_the_next_chunk_is_offered_only_when_the_one_before_is_done(
    ledger: Ledger, context: Context, script: Register
) -> None:
    job, dispatch, broker = started(ledger, context, ScriptedSpec(chunks=3, script=script(adding)))
    for n in range(3):
        for _ in range(3):
            dispatch.tick()
        assert [hint.chunk for hint in broker.hints] == [f"{n:06d}"]
        assert execute(ledger, context, broker.hints.popleft()) == "done"
        dispatch.tick()
    assert finish(ledger, context, job, dispatch, broker).state == "succeeded"


def test_a_hint_at_a_later_chunk_is_dropped(ledger: Ledger, context: Context, script: Register) -> None:
    job, _, _ = started(ledger, context, ScriptedSpec(chunks=3, script=script(adding)))
    assert execute(ledger, context, Hint(job=job.id, chunk="000001", attempt=1)) == "dropped"
    assert row(ledger, job, "000001").state == "pending"


def test_a_chunk_that_fails_is_tried_again_before_any_other(
    ledger: Ledger, context: Context, script: Register
) -> None:
    seen: list[int] = []

    def flaky(context: Context, chunk: Chunk) -> Receipt:
        seen.append(chunk.n)
        if seen.count(chunk.n) <= chunk.n:
            raise ZeroDivisionError
        return adding(context, chunk)

    (job,) = run(ledger, context, ScriptedSpec(chunks=3, script=script(flaky)))
    assert (job.state, seen, sums(ledger, job.id)) == ("succeeded", [0, 1, 1, 2, 2, 2], [0, 1, 3])


def test_after_a_lost_worker_the_chunk_runs_again_from_the_one_before(
    ledger: Ledger, context: Context, script: Register
) -> None:
    job, dispatch, broker = started(ledger, context, ScriptedSpec(chunks=3, script=script(adding)))
    assert execute(ledger, context, broker.hints.popleft()) == "done"
    dispatch.tick()
    lost = broker.hints.popleft()
    claimed_elsewhere(ledger, job, "000001")
    time.sleep(0.8)
    dispatch.tick()
    assert not [hint for hint in broker.hints if hint.chunk == "000002"]
    ended = finish(ledger, context, job, dispatch, broker)
    assert (ended.state, sums(ledger, job.id)) == ("succeeded", [0, 1, 3])
    assert execute(ledger, context, lost) == "dropped"


def test_a_second_dispatcher_goes_on_at_the_first_chunk_that_is_not_done(
    ledger: Ledger, context: Context, script: Register
) -> None:
    job, _, broker = started(ledger, context, ScriptedSpec(chunks=4, script=script(adding)))
    assert execute(ledger, context, broker.hints.popleft()) == "done"
    other, hints = dispatcher(ledger, context, job)
    other.tick()
    assert [hint.chunk for hint in hints.hints] == ["000001"]
    assert finish(ledger, context, job, other, hints).state == "succeeded"
    assert sums(ledger, job.id) == [0, 1, 3, 6]


def test_paused_in_the_middle_it_goes_on_where_it_was(
    ledger: Ledger, context: Context, script: Register
) -> None:
    calls = itertools.count()

    def pausing(context: Context, chunk: Chunk) -> Receipt:
        if next(calls) == 1:
            steering.pause(ledger, context.job_id)
            while True:  # until the heartbeat has noticed
                context.checkpoint(0)
                time.sleep(0.02)
        return adding(context, chunk)

    (job,) = send(ledger, context, ScriptedSpec(chunks=3, script=script(pausing))).jobs
    stop = threading.Event()
    worker = threading.Thread(target=run_here, args=(ledger, context, [job.id], "test", stop))
    worker.start()
    deadline = time.monotonic() + 20
    while (
        ledger.job(job.id).state,
        row(ledger, job, "000001").attempt if ledger.row(job.id, "000001") else 0,
    ) != (
        "paused",
        2,
    ) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert row(ledger, job, "000002").state == "pending"
    steering.resume(ledger, job.id)
    worker.join(20)
    assert (ledger.job(job.id).state, sums(ledger, job.id)) == ("succeeded", [0, 1, 3])


def test_a_failed_job_that_is_retried_goes_on_from_the_last_good_chunk(
    ledger: Ledger, context: Context, script: Register
) -> None:
    seen: list[int] = []

    def wrong_once(context: Context, chunk: Chunk) -> Receipt:
        seen.append(chunk.n)
        if seen == [0, 1]:
            raise InputError("disk full")
        return adding(context, chunk)

    (job,) = run(ledger, context, ScriptedSpec(chunks=3, script=script(wrong_once)))
    assert job.state == "failed"
    steering.retry(ledger, job.id)
    (ended,) = run_here(ledger, context, [job.id], job.runner)
    assert (ended.state, seen, sums(ledger, job.id)) == ("succeeded", [0, 1, 1, 2], [0, 1, 3])


def test_what_a_chunk_says_of_itself_is_the_note_of_its_job(
    ledger: Ledger, context: Context, script: Register
) -> None:
    notes: list[str | None] = []

    def telling(context: Context, chunk: Chunk) -> Receipt:
        context.status(f"loss {chunk.n}")
        deadline = time.monotonic() + 20
        while not any(notes) and time.monotonic() < deadline:
            notes.append(ledger.job(context.job_id).note)
            time.sleep(0.05)
        return adding(context, chunk)

    (job,) = run(ledger, context, ScriptedSpec(chunks=1, script=script(telling)))
    assert notes[-1] == "loss 0"
    assert job.note is None
