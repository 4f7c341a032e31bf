"""What a failure of a chunk means: wait, smaller batches, again, or the end."""

from __future__ import annotations

import time

import pytest

from services.errors import InputError, Unavailable
from services.jobs.execute import execute
from services.jobs.kind import Chunk, Context
from services.jobs.ledger import Ledger
from services.jobs.local import run_here
from tests.integration.jobs.scripted_kind import Script, ScriptedSpec
from tests.integration.jobs.stepping import (
    Register,
    raising,
    row,
    run,
    send,
    started,
)


def failing(times: int, error: Exception, seen: list[float]) -> Script:
    """Fails so many times in all, and notes the batch scale of every execution."""

    def work(context: Context, chunk: Chunk) -> None:
        seen.append(context.batch_scale)
        if len(seen) <= times:
            raise error.with_traceback(None)

    return work


def test_a_service_that_is_away_does_not_count(ledger: Ledger, context: Context, script: Register) -> None:
    seen: list[float] = []
    name = script(failing(5, Unavailable("Elasticsearch is away"), seen))
    (job,) = run(ledger, context, ScriptedSpec(chunks=1, script=name))
    after = row(ledger, job, "000000")
    assert (job.state, len(seen), after.tries, after.transients) == ("succeeded", 6, 0, 0)


def test_what_holds_a_job_up_is_said(ledger: Ledger, context: Context, script: Register) -> None:
    name = script(raising(Unavailable("Elasticsearch is away")))
    job, dispatch, broker = started(ledger, context, ScriptedSpec(chunks=1, script=name))
    assert execute(ledger, context, broker.hints.popleft()) == "retried"
    time.sleep(0.5)
    dispatch.tick()
    assert ledger.job(job.id).note == "waiting, chunk 000000: Elasticsearch is away"


def test_out_of_memory_halves_the_batch(ledger: Ledger, context: Context, script: Register) -> None:
    seen: list[float] = []
    name = script(failing(2, MemoryError(), seen))
    (job,) = run(ledger, context, ScriptedSpec(chunks=1, script=name))
    assert (job.state, seen) == ("succeeded", [1.0, 0.5, 0.25])


def test_a_defect_is_tried_again_and_then_given_up_with_its_traceback(
    ledger: Ledger, context: Context, script: Register
) -> None:
    seen: list[float] = []
    name = script(failing(99, ZeroDivisionError("oops"), seen))
    (job,) = run(ledger, context, ScriptedSpec(chunks=5, script=name))
    assert job.state == "failed"
    assert job.error is not None
    assert (job.error.code, job.error.message) == ("defect", "ZeroDivisionError: oops")
    assert "in work" in (job.error.detail or "")
    assert 3 <= len(seen) <= 5 * 3


def test_wrong_input_fails_the_job_at_once_with_its_hint(
    ledger: Ledger, context: Context, script: Register
) -> None:
    name = script(raising(InputError("a.tsv:7: empty text", hint="mend the line")))
    (job,) = run(ledger, context, ScriptedSpec(script=name))
    assert job.state == "failed"
    assert job.error is not None
    assert (job.error.code, job.error.message, job.error.hint, job.error.chunk) == (
        "bad_input",
        "a.tsv:7: empty text",
        "mend the line",
        "000000",
    )
    assert row(ledger, job, "000000").attempt == 2


def test_a_chunk_beyond_its_soft_limit_is_stopped_and_counts(
    ledger: Ledger, context: Context, script: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(context: Context, chunk: Chunk) -> None:
        time.sleep(0.02)
        context.checkpoint(1)

    monkeypatch.setattr("tests.integration.jobs.scripted_kind.ScriptedKind.soft_limit", 0.01)
    (job,) = run(ledger, context, ScriptedSpec(chunks=1, script=script(slow)))
    assert (job.state, job.error and job.error.code) == ("failed", "timeout")


def test_an_unknown_kind_fails_alone(ledger: Ledger, context: Context) -> None:
    strange, good = send(ledger, context, ScriptedSpec(), ScriptedSpec()).jobs
    ledger.change_job(strange.id, lambda job: job.model_copy(update={"kind": "frobnicate"}))
    strange, good = run_here(ledger, context, [strange.id, good.id], "test")
    assert (strange.state, good.state) == ("failed", "succeeded")
