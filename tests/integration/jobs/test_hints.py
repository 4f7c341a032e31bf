"""Hints on the broker and claims in the ledger: a hint is good once, and losing one loses nothing."""

from __future__ import annotations

import time

import pytest

from services.errors import Unavailable
from services.jobs.dispatch import Dispatcher
from services.jobs.execute import Hint, execute
from services.jobs.kind import Context
from services.jobs.ledger import Ledger
from services.jobs.local import MemoryBroker
from services.jobs.records import now
from tests.integration.jobs.scripted_kind import ScriptedSpec
from tests.integration.jobs.stepping import (
    Register,
    at_once,
    finish,
    started,
)


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
    ledger: Ledger, context: Context, script: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    noon = now()
    monkeypatch.setattr("services.jobs.execute.now", lambda: noon)  # their claims are equal, to the byte
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
