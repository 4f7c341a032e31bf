"""Submitting: what is fresh is skipped, what is open is joined, what is needed comes first."""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import Any

import pytest

from services.errors import InputError
from services.jobs import identity, steering
from services.jobs.documents import Documents
from services.jobs.kind import Context
from services.jobs.ledger import Ledger
from services.jobs.local import run_here
from services.jobs.records import OPEN
from services.jobs.submit import forced, plan, submit
from tests.integration.jobs.scripted_kind import ScriptedSpec, artefacts
from tests.integration.jobs.stepping import (
    Register,
    at_once,
    raising,
    run,
    send,
)


def test_what_is_fresh_is_skipped_and_said(ledger: Ledger, context: Context) -> None:
    artefacts.add("a")
    submission = submit(ledger, context, [ScriptedSpec(artefact="a")])
    assert (submission.jobs, submission.fresh) == ([], ["scripted c: artefact a"])


def test_force_makes_anew_what_is_fresh(ledger: Ledger, context: Context) -> None:
    artefacts.add("a")
    submission = submit(ledger, context, [ScriptedSpec(artefact="a")], force=True, runner="test")
    assert len(submission.jobs) == 1


def test_requirements_run_first_and_once(ledger: Ledger, context: Context) -> None:
    specs = [ScriptedSpec(needs=("a", "b")), ScriptedSpec(needs=("b",), chunks=1)]
    jobs = run(ledger, context, *specs)
    assert [job.state for job in jobs] == ["succeeded"] * 4
    assert artefacts == {"a", "b"}
    ends = [job.ended or "" for job in jobs]
    assert max(ends[:2]) <= (jobs[2].started or "")


def test_the_same_spec_joins_the_open_job(ledger: Ledger, context: Context) -> None:
    spec = forced(ScriptedSpec())
    first = submit(ledger, context, [spec], runner="test").jobs[0]
    second = submit(ledger, context, [spec], runner="test").jobs[0]
    assert first.id == second.id


def test_the_same_spec_is_a_new_job_once_the_old_one_has_ended(ledger: Ledger, context: Context) -> None:
    spec = forced(ScriptedSpec())
    first = submit(ledger, context, [spec], runner="test").jobs[0]
    steering.cancel(ledger, first.id)
    assert submit(ledger, context, [spec], runner="test").jobs[0].id != first.id


def test_a_job_whose_id_is_taken_gets_another_one(
    ledger: Ledger, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = uuid.uuid4().hex
    ids = iter([f"{mine}-a", f"{mine}-a", f"{mine}-b"])
    monkeypatch.setattr("services.jobs.records.new_id", lambda kind: next(ids))
    specs = [ScriptedSpec(nonce=uuid.uuid4().hex) for _ in range(2)]
    jobs = [submit(ledger, context, [spec], runner="test").jobs[0] for spec in specs]
    assert [job.id for job in jobs] == [f"{mine}-a", f"{mine}-b"]


def test_of_submitters_that_race_all_get_one_job(ledger: Ledger, context: Context) -> None:
    spec = forced(ScriptedSpec())
    ids: list[str] = []
    at_once(5, lambda: ids.append(submit(ledger, context, [spec], runner="t").jobs[0].id))
    assert len(set(ids)) == 1
    assert ledger.job(ids[0]).state == "pending"


@pytest.mark.parametrize("method", ["create", "replace"])
def test_a_submitter_that_is_killed_at_any_write_leaves_at_most_one_job(
    ledger: Ledger, context: Context, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    spec = forced(ScriptedSpec())
    for write in range(4):
        with monkeypatch.context() as patch, suppress(Killed):
            killed_at(patch, ledger.documents, method, write)
            submit(ledger, context, [spec], runner="killed")
        assert len([job for job in ledger.jobs(OPEN) if job.hash == spec.hash]) <= 1
    job = submit(ledger, context, [spec], runner="killed").jobs[0]
    assert [found.id for found in ledger.jobs(OPEN) if found.hash == spec.hash] == [job.id]


class Killed(BaseException):
    """The process ends here."""


def killed_at(patch: pytest.MonkeyPatch, documents: Documents, method: str, write: int) -> None:
    """Of the documents' writes by a method, the one with this number is not reached any more."""
    original, left = getattr(documents, method), [write]

    def last(*arguments: Any) -> str:
        if not left[0]:
            raise Killed
        left[0] -= 1
        return str(original(*arguments))

    patch.setattr(documents, method, last)


def test_a_job_of_a_vanished_process_is_taken_over(ledger: Ledger, context: Context) -> None:
    parts = identity.me().split("/")
    gone = "/".join([parts[0], "1", "0", parts[3]])  # process 1 has another start time
    spec = forced(ScriptedSpec())
    first = submit(ledger, context, [spec], runner=gone).jobs[0]
    second = submit(ledger, context, [spec], runner="test").jobs[0]
    assert (first.id, second.runner) == (second.id, "test")


def test_a_dry_run_lists_what_would_be_done_and_does_nothing(ledger: Ledger, context: Context) -> None:
    artefacts.add("a")
    before = len(ledger.jobs())
    planned = plan(context, [ScriptedSpec(needs=("a", "b"), chunks=7)])
    assert [(item.fresh, item.estimate and item.estimate.chunks) for item in planned] == [
        ("artefact a", None),
        (None, 3),
        (None, 7),
    ]
    assert len(ledger.jobs()) == before


def test_a_job_fails_when_what_it_needs_has_failed(
    ledger: Ledger, context: Context, script: Register
) -> None:
    name = script(raising(InputError("bad", hint="mend it")))
    (needed,) = send(ledger, context, ScriptedSpec(script=name)).jobs
    (job,) = send(ledger, context, ScriptedSpec()).jobs
    ledger.change_job(job.id, lambda present: present.model_copy(update={"depends_on": [needed.id]}))
    _, job = run_here(ledger, context, [needed.id, job.id], "test")
    assert job.state == "failed"
    assert job.error is not None
    assert job.error.code == "requirement"
    assert needed.id in job.error.message
