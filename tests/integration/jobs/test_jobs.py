"""Jobs end to end in one process: what the ledger, the dispatcher and the execution promise together."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence

import pytest

from services.errors import Conflict, InputError, NotFound, Unavailable
from services.jobs import steering
from services.jobs.dispatch import Dispatcher
from services.jobs.execute import Hint, execute
from services.jobs.kind import Chunk, Context, DeadRow, Receipt
from services.jobs.lead import Lead
from services.jobs.ledger import Ledger
from services.jobs.local import MemoryBroker, run_here
from services.jobs.records import Job, Row
from services.jobs.submit import Submission, forced, plan, submit
from tests.integration.jobs.scripted_kind import Script, ScriptedSpec, artefacts

Register = Callable[[Script], str]
ELSEWHERE = "elsewhere/1/0/another-machine"


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch, script: Register) -> None:
    monkeypatch.setattr("services.jobs.failures._FIRST_WAIT", 0.01)
    monkeypatch.setattr("services.jobs.flight._FIRST_PATIENCE", 0.1)


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


# -- the ordinary course -------------------------------------------------------------------------------


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


# -- submission ----------------------------------------------------------------------------------------


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
    ids = iter(["a" * 4, "a" * 4, "b" * 4])
    monkeypatch.setattr("services.jobs.records.secrets.token_hex", lambda size: next(ids))
    specs = [ScriptedSpec(nonce=uuid.uuid4().hex) for _ in range(2)]
    jobs = [submit(ledger, context, [spec], runner="test").jobs[0] for spec in specs]
    assert [job.id[-4:] for job in jobs] == ["aaaa", "bbbb"]


def test_of_submitters_that_race_all_get_one_job(ledger: Ledger, context: Context) -> None:
    spec = forced(ScriptedSpec())
    ids: list[str] = []
    at_once(5, lambda: ids.append(submit(ledger, context, [spec], runner="t").jobs[0].id))
    assert len(set(ids)) == 1
    assert ledger.job(ids[0]).state == "pending"


def test_a_job_of_a_vanished_process_is_taken_over(ledger: Ledger, context: Context) -> None:
    from services.jobs import identity

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
    name = script(_raise(InputError("bad", hint="mend it")))
    (needed,) = send(ledger, context, ScriptedSpec(script=name)).jobs
    (job,) = send(ledger, context, ScriptedSpec()).jobs
    ledger.change_job(job.id, lambda present: present.model_copy(update={"depends_on": [needed.id]}))
    _, job = run_here(ledger, context, [needed.id, job.id], "test")
    assert job.state == "failed"
    assert job.error is not None
    assert job.error.code == "requirement"
    assert needed.id in job.error.message


# -- hints and claims ----------------------------------------------------------------------------------


def test_a_hint_is_good_once(ledger: Ledger, context: Context) -> None:
    _, _, broker = started(ledger, context, ScriptedSpec())
    hint = broker.hints[0]
    assert execute(ledger, context, hint) == "done"
    assert execute(ledger, context, hint) == "dropped"


@pytest.mark.parametrize(
    "wrong",
    [{"attempt": 2}, {"attempt": 999_999}, {"chunk": "000099"}, {"job": "scripted-20000101-000000-0000"}],
)
def test_a_hint_at_another_attempt_chunk_or_job_is_dropped(
    ledger: Ledger, context: Context, wrong: dict[str, object]
) -> None:
    _, _, broker = started(ledger, context, ScriptedSpec())
    assert execute(ledger, context, broker.hints[0].model_copy(update=wrong)) == "dropped"


@pytest.mark.parametrize(
    "hostile",
    [
        {"job": "../../etc/passwd"},
        {"job": ""},
        {"job": "mine-20261121-073015-ab12:x"},
        {"job": 7},
        {"job": None},
        {"job": "a" * 10_000_000},
        {"chunk": "../plan"},
        {"chunk": "1"},
        {"chunk": ["plan"]},
        {"attempt": 0},
        {"attempt": -1},
        {"attempt": "1"},
        {"attempt": 1.0},
        {"attempt": True},
        {"attempt": 10**30},
        {"extra": 1},
    ],
    ids=lambda hostile: str(hostile)[:40],
)
def test_a_hint_of_another_form_is_refused(hostile: dict[str, object]) -> None:
    good: dict[str, object] = {"job": "mine-20261121-073015-ab12", "chunk": "plan", "attempt": 1}
    Hint.model_validate(good)
    with pytest.raises(ValueError, match="validation error"):
        Hint.model_validate(good | hostile)


def test_of_workers_that_race_for_a_chunk_one_works(
    ledger: Ledger, context: Context, script: Register
) -> None:
    ran: list[int] = []
    name = script(lambda _, chunk: ran.append(chunk.n))
    _, _, broker = started(ledger, context, ScriptedSpec(script=name))
    outcomes: list[str] = []
    at_once(4, lambda: outcomes.append(execute(ledger, context, broker.hints[0])))
    assert sorted(outcomes) == ["done", "dropped", "dropped", "dropped"]
    assert ran == [0]


def test_lost_hints_are_sent_again(ledger: Ledger, context: Context) -> None:
    job, dispatch, broker = started(ledger, context, ScriptedSpec(chunks=20))
    lost = list(broker.hints)
    broker.hints.clear()  # FLUSHALL
    time.sleep(0.15)
    dispatch.tick()
    assert set(broker.hints) == set(lost)
    assert finish(ledger, context, job, dispatch, broker).state == "succeeded"


def test_hints_that_merely_wait_are_not_sent_again(ledger: Ledger, context: Context) -> None:
    _, dispatch, broker = started(ledger, context, ScriptedSpec(chunks=20))
    before = list(broker.hints)
    time.sleep(0.15)
    dispatch.tick()
    assert list(broker.hints) == before


def test_a_broker_that_is_away_holds_up_nothing_else(ledger: Ledger, context: Context) -> None:
    class Away(MemoryBroker):
        def publish(self, *_: object) -> None:
            raise Unavailable("no Redis")

    job, _, broker = started(ledger, context, ScriptedSpec(chunks=20))
    assert execute(ledger, context, broker.hints[0]) == "done"
    dispatch = Dispatcher(ledger, Away(), context.settings, lambda: ledger.jobs_by_id([job.id]))
    dispatch.tick()
    assert ledger.job(job.id).done == 1


# -- leases and fencing --------------------------------------------------------------------------------


def claimed_elsewhere(ledger: Ledger, job: Job, key: str) -> Row:
    """The chunk as a worker on another machine claims it, and is never heard of again."""
    return ledger.save(row(ledger, job, key).model_copy(update={"state": "running", "worker": ELSEWHERE}))


def test_a_silent_worker_loses_its_chunk_and_cannot_write_any_more(ledger: Ledger, context: Context) -> None:
    job, dispatch, broker = started(ledger, context, ScriptedSpec())
    zombie = claimed_elsewhere(ledger, job, "000000")
    broker.hints.popleft()
    assert finish(ledger, context, job, dispatch, broker).state == "succeeded"
    after = row(ledger, job, "000000")
    assert (after.attempt, after.losses, after.tries) == (2, 1, 0)
    from services.jobs.documents import Stale

    with pytest.raises(Stale):
        ledger.save(zombie.model_copy(update={"state": "done"}))


def test_a_beating_heart_keeps_the_lease_of_a_long_chunk(
    ledger: Ledger, context: Context, script: Register
) -> None:
    def long(context: Context, chunk: Chunk) -> None:
        for n in range(12):
            time.sleep(0.1)
            context.checkpoint(n)

    job, dispatch, broker = started(ledger, context, ScriptedSpec(chunks=1, script=script(long)))
    thread = threading.Thread(target=execute, args=(ledger, context, broker.hints.popleft()))
    thread.start()
    while thread.is_alive():
        dispatch.tick()
        time.sleep(0.05)
    assert row(ledger, job, "000000").attempt == 1


def test_a_fenced_worker_stops_at_its_next_checkpoint(
    ledger: Ledger, context: Context, script: Register
) -> None:
    def stolen(context: Context, chunk: Chunk) -> None:
        present = row(ledger, job, "000000")
        ledger.save(present.model_copy(update={"attempt": present.attempt + 1, "state": "pending"}))
        for _ in range(100):
            time.sleep(0.05)
            context.checkpoint(0)
        raise AssertionError("nobody stopped it")

    job, _, broker = started(ledger, context, ScriptedSpec(chunks=1, script=script(stolen)))
    assert execute(ledger, context, broker.hints.popleft()) == "fenced"
    assert row(ledger, job, "000000").state == "pending"


def test_an_outage_of_the_ledger_costs_no_lease(ledger: Ledger, context: Context) -> None:
    job, dispatch, _ = started(ledger, context, ScriptedSpec())
    claimed_elsewhere(ledger, job, "000000")
    dispatch.tick()
    time.sleep(0.7)
    dispatch.forgive()
    dispatch.tick()
    assert row(ledger, job, "000000").state == "running"


def test_a_worker_that_is_lost_again_and_again_gives_the_chunk_up(ledger: Ledger, context: Context) -> None:
    from services.jobs import identity

    parts = identity.me().split("/")
    gone = "/".join([parts[0], "1", "0", parts[3]])
    job, dispatch, _ = started(ledger, context, ScriptedSpec(chunks=1))
    for _ in range(20):
        present = row(ledger, job, "000000")
        if present.state == "pending":
            ledger.save(present.model_copy(update={"state": "running", "worker": gone}))
        dispatch.tick()
    after, ended = row(ledger, job, "000000"), ledger.job(job.id)
    assert (ended.state, after.losses) == ("failed", 9)
    assert after.batch_scale == 2**-3  # the last three of nine
    assert ended.error is not None
    assert ended.error.code == "lost_worker"


def test_a_new_dispatcher_goes_on_where_the_old_one_was_killed(ledger: Ledger, context: Context) -> None:
    job, _, _ = started(ledger, context, ScriptedSpec(chunks=30))
    for _ in range(9):
        dispatch, fresh = dispatcher(ledger, context, job)  # each with an empty memory and an empty queue
        dispatch.tick()
        for _ in range(2):
            execute(ledger, context, fresh.hints.popleft())
    job = finish(ledger, context, job, dispatch, fresh)
    assert (job.state, job.done, job.rows) == ("succeeded", 30, 300)


def test_two_dispatchers_at_once_do_no_harm(ledger: Ledger, context: Context, script: Register) -> None:
    ran: list[int] = []
    name = script(lambda _, chunk: ran.append(chunk.n))
    (job,) = send(ledger, context, ScriptedSpec(chunks=12, script=name)).jobs
    one, queue = dispatcher(ledger, context, job)
    other, second = dispatcher(ledger, context, job)
    while ledger.job(job.id).ended is None:
        one.tick()
        other.tick()
        for hints in (queue.hints, second.hints):
            if hints:
                execute(ledger, context, hints.popleft())
    assert sorted(ran) == list(range(12))
    assert ledger.job(job.id).rows == 120


def test_one_dispatcher_leads_and_another_takes_over_when_it_falls_silent(ledger: Ledger) -> None:
    one, other = Lead(ledger, ELSEWHERE, 0.3), Lead(ledger, "other/1/0/third-machine", 0.3)
    held = ledger.dispatcher()
    if held is not None:
        ledger.take_lead("", held)
    assert one.hold()
    assert not other.hold()
    time.sleep(0.2)
    assert one.hold()
    time.sleep(0.2)
    assert not other.hold()
    time.sleep(0.4)
    assert other.hold()
    assert not one.hold()
    other.release()
    assert one.hold()
    one.release()


# -- failures ------------------------------------------------------------------------------------------


def _raise(error: Exception) -> Script:
    def fail(context: Context, chunk: Chunk) -> Receipt:
        raise error

    return fail


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
    name = script(_raise(Unavailable("Elasticsearch is away")))
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
    name = script(_raise(InputError("a.tsv:7: empty text", hint="mend the line")))
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


# -- steering ------------------------------------------------------------------------------------------


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
