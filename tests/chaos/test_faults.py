"""No lost chunk, no duplicate effect, every job ends: whatever is killed while it runs.

Each test runs the same job of numbers, disturbs it in one way, and compares its parts (by sha256) with those
of the undisturbed run. A chunk that was under way may run again, no other.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from services.jobs.records import Job, now
from services.stack.endpoints import endpoints
from tests.chaos.chaos_stack import ENVIRONMENT, SEED, Chaos, stopped

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

CHUNKS = 12
PROBE = ("jobs", "probe", "--numbers", str(100 * CHUNKS), "--step", "100", "--pause", "0.25")


@pytest.fixture(scope="module")
def undisturbed(chaos_stack: Chaos) -> dict[str, Any]:
    """The result of the job when nothing happens."""
    result: dict[str, Any] = chaos_stack.run(*PROBE)[0]["result"]
    return result


def disturb(
    chaos: Chaos,
    undisturbed: dict[str, Any],
    fault: Callable[[], None],
    again: int = 2,
    environment: dict[str, str] | None = None,
) -> Job:
    """Run the job, let `fault` happen in its midst, check the end. `again`: chunks that may run again."""
    begun = now()
    command = chaos.command(*PROBE, "--json", environment=environment)
    job = chaos.newest("probe", begun)
    chaos.until(lambda: chaos.ledger.job(job.id).done >= 3)
    fault()
    (outcome,) = chaos.answer(command)
    job = chaos.until(lambda: chaos.ledger.job(job.id))
    rows = list(chaos.ledger.all_rows(job))
    assert (job.state, outcome["state"]) == ("succeeded", "succeeded")
    assert [row.state for row in rows] == ["done"] * (CHUNKS + 2)
    assert (job.done, job.rows) == (CHUNKS, 100 * CHUNKS)
    assert {key: outcome["result"][key] for key in ("sum", "parts")} == {
        key: undisturbed[key] for key in ("sum", "parts")
    }
    assert sum(row.attempt - 1 for row in rows) <= again, [(row.key, row.attempt, row.error) for row in rows]
    return job


def test_kill_of_the_worker(chaos: Chaos, undisturbed: dict[str, Any]) -> None:
    disturb(chaos, undisturbed, lambda: chaos.kill("worker"))


def test_kill_of_the_workers_child(chaos: Chaos, undisturbed: dict[str, Any]) -> None:
    disturb(chaos, undisturbed, lambda: chaos.child().kill())


def test_kill_of_the_dispatcher(chaos: Chaos, undisturbed: dict[str, Any]) -> None:
    disturb(chaos, undisturbed, lambda: chaos.kill("dispatcher"), again=0)


def test_kill_of_the_supervisor(chaos: Chaos, undisturbed: dict[str, Any]) -> None:
    """Everything else goes on; `up` finds it and adopts it."""
    before = chaos.pids()
    disturb(chaos, undisturbed, lambda: chaos.kill("supervisor"), again=0)
    chaos.up()
    after = chaos.pids()
    assert after.pop("supervisor") != before.pop("supervisor")
    assert after == before


def test_kill_of_everything_at_once(chaos: Chaos, undisturbed: dict[str, Any]) -> None:
    def everything() -> None:
        for process in [chaos.process(name) for name in chaos.pids()]:
            process.kill()
        chaos.up()

    disturb(chaos, undisturbed, everything, again=3)


def test_wipe_of_the_broker(chaos: Chaos, undisturbed: dict[str, Any]) -> None:
    disturb(chaos, undisturbed, lambda: chaos.broker.flushall(), again=0)


def test_kill_of_the_broker(chaos: Chaos, undisturbed: dict[str, Any]) -> None:
    disturb(chaos, undisturbed, lambda: chaos.kill("redis"), again=1)


def test_a_worker_that_is_stopped_past_its_lease_and_wakes_up(
    chaos: Chaos, undisturbed: dict[str, Any]
) -> None:
    """Its chunk is given away; what it still does after waking counts for nothing."""

    def stop() -> None:
        worker = chaos.process("worker")
        with chaos.until(lambda: _stopped_with_a_chunk(chaos, worker)), another_worker(chaos):
            lost = chaos.until(
                lambda: [row for row in chaos.ledger.work_rows(chaos.ledger.jobs()[0]) if row.losses]
            )
            assert "vanished" in lost[0].error.message
            time.sleep(1)

    disturb(chaos, undisturbed, stop)


def test_kill_of_elasticsearch(chaos: Chaos, undisturbed: dict[str, Any]) -> None:
    disturb(chaos, undisturbed, lambda: chaos.kill("elasticsearch"), again=3)


def test_a_second_dispatcher_takes_over(chaos: Chaos, undisturbed: dict[str, Any]) -> None:
    """The first one is stopped, the second one leads, the first one wakes up and steps back."""

    def stop() -> None:
        with component(chaos, "workers.dispatcher"), stopped([chaos.process("dispatcher")]):
            time.sleep(6)

    disturb(chaos, undisturbed, stop, again=1)


def test_overload_and_lost_connections(chaos: Chaos, undisturbed: dict[str, Any]) -> None:
    """Every third request to Elasticsearch fails: 429, 503, reset before or after it was carried out."""
    port = urlsplit(endpoints(chaos.settings).es_url).port
    proxy = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("proxy.py"), str(port), str(SEED), "0.3"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert proxy.stdout is not None
    through = {"MSM_ES_URL": f"http://127.0.0.1:{int(proxy.stdout.readline())}"}
    direct = [chaos.process("worker"), chaos.process("dispatcher")]
    try:
        with (
            stopped([*direct, *direct[0].children(recursive=True)]),
            component(chaos, "workers.dispatcher", through),
            another_worker(chaos, through),
        ):
            disturb(chaos, undisturbed, lambda: None, again=CHUNKS // 2, environment=through)
    finally:
        proxy.terminate()
        proxy.wait()


def _stopped_with_a_chunk(chaos: Chaos, worker: psutil.Process) -> ExitStack | None:
    """The worker stopped while it has a chunk, until the stack is left; None where it was between two."""
    with ExitStack() as stack:
        stack.enter_context(stopped([worker, *worker.children(recursive=True)]))
        time.sleep(0.3)  # what it had sent has arrived
        if any(row.state == "running" for row in chaos.ledger.work_rows(chaos.ledger.jobs()[0])):
            return stack.pop_all()
    return None


@contextmanager
def component(chaos: Chaos, module: str, environment: dict[str, str] | None = None) -> Iterator[None]:
    """One more dispatcher or worker than the supervisor has started."""
    log = (chaos.settings.home / "logs" / f"extra-{module}.log").open("a")
    process = psutil.Popen(
        [sys.executable, "-m", module],
        env=os.environ | ENVIRONMENT | (environment or {}),
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def another_worker(chaos: Chaos, environment: dict[str, str] | None = None) -> Iterator[None]:
    """One more worker."""
    with component(chaos, "workers.worker", environment):
        yield
