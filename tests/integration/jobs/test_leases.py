"""Leases and fencing: whoever falls silent loses the chunk, and cannot write any more."""

from __future__ import annotations

import threading
import time

import pytest

from services.jobs import identity
from services.jobs.documents import Stale
from services.jobs.execute import execute
from services.jobs.kind import Chunk, Context
from services.jobs.lead import Lead
from services.jobs.ledger import Ledger
from services.jobs.submit import dispatcher_alive
from tests.integration.jobs.scripted_kind import ScriptedSpec
from tests.integration.jobs.stepping import (
    ELSEWHERE,
    Register,
    claimed_elsewhere,
    dispatcher,
    finish,
    row,
    send,
    started,
)


def test_a_silent_worker_loses_its_chunk_and_cannot_write_any_more(ledger: Ledger, context: Context) -> None:
    job, dispatch, broker = started(ledger, context, ScriptedSpec())
    zombie = claimed_elsewhere(ledger, job, "000000")
    broker.hints.popleft()
    assert finish(ledger, context, job, dispatch, broker).state == "succeeded"
    after = row(ledger, job, "000000")
    assert (after.attempt, after.losses, after.tries) == (2, 1, 0)
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


def lead(ledger: Ledger, owner: str) -> None:
    assert ledger.take_lead(owner, ledger.dispatcher())


def test_a_dispatcher_elsewhere_is_alive_when_its_lease_beats(ledger: Ledger) -> None:
    lead(ledger, ELSEWHERE)
    beat = threading.Timer(0.3, lead, (ledger, ELSEWHERE))
    beat.start()
    assert dispatcher_alive(ledger)
    beat.join()


def test_a_lease_that_stands_still_is_no_sign_of_life_however_fresh_it_is(ledger: Ledger) -> None:
    lead(ledger, ELSEWHERE)
    assert not dispatcher_alive(ledger, patience=0.3)


def test_on_the_same_machine_a_dispatcher_is_known_without_waiting(ledger: Ledger) -> None:
    lead(ledger, identity.me())
    assert dispatcher_alive(ledger, patience=0)
    parts = identity.me().split("/")
    lead(ledger, "/".join([parts[0], "1", "0", parts[3]]))  # process 1 has another start time
    assert not dispatcher_alive(ledger, patience=60)
    lead(ledger, "")
    assert not dispatcher_alive(ledger, patience=60)
