"""The ordinary course of a job: planned, worked, finished; what it leaves in the ledger."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence

import pytest

from services.errors import Conflict
from services.jobs import steering
from services.jobs.kind import Context
from services.jobs.ledger import Ledger
from tests.integration.jobs.scripted_kind import ScriptedSpec
from tests.integration.jobs.stepping import (
    Register,
    row,
    run,
    send,
    started,
)


def test_a_job_is_planned_worked_and_finished_with_receipts_in_order(
    ledger: Ledger, context: Context
) -> None:
    (job,) = run(ledger, context, ScriptedSpec(chunks=11))
    assert (job.state, job.chunks, job.done, job.rows, job.bytes) == ("succeeded", 11, 11, 110, 1100)
    assert job.units_done == job.units == 110
    assert job.result == {"los": [10 * n for n in range(11)]}


def test_a_job_without_chunks_is_finished(ledger: Ledger, context: Context) -> None:
    (job,) = run(ledger, context, ScriptedSpec(chunks=0))
    assert (job.state, job.result) == ("succeeded", {"los": []})


def test_receipts_say_who_worked_and_how_long(ledger: Ledger, context: Context) -> None:
    (job,) = run(ledger, context, ScriptedSpec())
    receipt = row(ledger, job, "000000").receipt
    assert receipt is not None
    assert receipt.worker.count("/") == 1
    assert 0 <= receipt.seconds < 5


def test_log_lines_are_kept_with_the_chunk(ledger: Ledger, context: Context, script: Register) -> None:
    name = script(lambda context, chunk: context.log(f"at {chunk.lo}"))
    (job,) = run(ledger, context, ScriptedSpec(script=name))
    assert row(ledger, job, "000001").log[0].endswith(" at 10")


@pytest.mark.slow
def test_ten_thousand_chunks_are_planned_in_ten_seconds_and_kept_in_a_window(
    ledger: Ledger, context: Context
) -> None:
    begun = time.monotonic()
    job, dispatch, broker = started(ledger, context, ScriptedSpec(chunks=10_000))
    assert time.monotonic() - begun < 10
    assert (job.phase, job.chunks) == ("work", 10_000)
    assert len(broker.hints) == context.settings.window
    for _ in range(3):
        dispatch.tick()
    assert len(broker.hints) == context.settings.window
    steering.cancel(ledger, job.id)


def test_jobs_are_listed_newest_first_by_state(ledger: Ledger, context: Context) -> None:
    ended = [run(ledger, context, ScriptedSpec(chunks=0))[0].id for _ in range(2)]
    (waiting,) = send(ledger, context, ScriptedSpec()).jobs
    listed: Sequence[str] = [job.id for job in ledger.jobs() if job.id in {*ended, waiting.id}]
    assert listed == [waiting.id, ended[1], ended[0]]
    assert waiting.id not in [job.id for job in ledger.jobs(["succeeded"])]


def test_a_ledger_of_another_store_is_refused(ledger: Ledger) -> None:
    store = uuid.uuid4().hex
    owner = ledger.documents.get("jobs", "ledger")
    if owner is not None:
        store = str(owner.body["store"])
    ledger.bind(store, "/here")
    ledger.bind(store, "/here")
    with pytest.raises(Conflict, match="belongs to the store /here"):
        ledger.bind("another", "/there")


def test_a_job_has_ended_when_nobody_works_on_it_any_more(ledger: Ledger, context: Context) -> None:
    (job,) = send(ledger, context, ScriptedSpec()).jobs
    assert not ledger.has_ended(job.id)
    steering.cancel(ledger, job.id)
    assert ledger.has_ended(job.id)
    steering.remove(ledger, job.id)
    assert Ledger(ledger.documents, shared=True).has_ended(job.id)
    assert not Ledger(ledger.documents, shared=False).has_ended(job.id), "it may be one of the shared ledger"
