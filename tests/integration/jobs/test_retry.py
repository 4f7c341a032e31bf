"""Retry: what is done stays done."""

from __future__ import annotations

import pytest

from services.errors import Conflict, InputError
from services.jobs import steering
from services.jobs.kind import Chunk, Context, DeadRow, Receipt
from services.jobs.ledger import Ledger
from services.jobs.local import run_here
from tests.integration.jobs.scripted_kind import ScriptedSpec
from tests.integration.jobs.stepping import (
    Register,
    run,
    send,
)


def test_retry_does_again_only_what_was_not_done(ledger: Ledger, context: Context, script: Register) -> None:
    broken, ran = [True], list[int]()

    def work(context: Context, chunk: Chunk) -> None:
        ran.append(chunk.n)
        if chunk.n == 2 and broken[0]:
            raise InputError("bad")

    (job,) = run(ledger, context, ScriptedSpec(chunks=6, script=script(work)))
    assert job.state == "failed"
    broken[0] = False
    done = {found.key for found in ledger.work_rows(job) if found.state == "done"}
    ran.clear()
    steering.retry(ledger, job.id)
    (job,) = run_here(ledger, context, [job.id], "test")
    assert (job.state, job.done, job.error) == ("succeeded", 6, None)
    assert {f"{n:06d}" for n in ran} == {f"{n:06d}" for n in range(6)} - done


def test_retry_opens_what_the_job_needs_too(ledger: Ledger, context: Context, script: Register) -> None:
    broken = [True]

    def work(context: Context, chunk: Chunk) -> None:
        if broken[0]:
            raise InputError("bad")

    (needed,) = send(ledger, context, ScriptedSpec(script=script(work))).jobs
    (job,) = send(ledger, context, ScriptedSpec()).jobs
    ledger.change_job(job.id, lambda present: present.model_copy(update={"depends_on": [needed.id]}))
    run_here(ledger, context, [needed.id, job.id], "test")
    broken[0] = False
    assert [opened.id for opened in steering.retry(ledger, job.id)] == [needed.id, job.id]
    assert [end.state for end in run_here(ledger, context, [needed.id, job.id], "test")] == ["succeeded"] * 2


def test_rows_that_cannot_be_processed_are_kept_and_can_be_tried_again(
    ledger: Ledger, context: Context, script: Register
) -> None:
    bad = [True]

    def work(context: Context, chunk: Chunk) -> Receipt:
        dead = [DeadRow(row=f"p{chunk.lo}", reason="too long")] if bad[0] and chunk.n == 1 else []
        return Receipt(rows=10 - len(dead), dead=dead)

    (job,) = run(ledger, context, ScriptedSpec(chunks=3, script=script(work)))
    assert (job.state, job.dead, job.rows) == ("dead_rows", 1, 29)
    (dead,) = ledger.dead(job.id)
    assert (dead["row"], dead["reason"], dead["chunk"]) == ("p10", "too long", "000001")
    bad[0] = False
    steering.retry(ledger, job.id)
    (job,) = run_here(ledger, context, [job.id], "test")
    assert (job.state, job.dead, job.rows, ledger.dead(job.id)) == ("succeeded", 0, 30, [])


def test_dead_rows_that_would_be_refused_again_are_not_tried(
    ledger: Ledger, context: Context, script: Register
) -> None:
    name = script(lambda context, chunk: Receipt(dead=[DeadRow(row="p", reason="no number")]))
    (job,) = run(ledger, context, ScriptedSpec(chunks=1, script=name, mended_by="msmctl make --force"))
    with pytest.raises(Conflict, match="refused again") as refused:
        steering.retry(ledger, job.id)
    assert "`msmctl make --force`" in str(refused.value.hint)
    assert ledger.job(job.id).state == "dead_rows"
    assert len(ledger.dead(job.id)) == 1
