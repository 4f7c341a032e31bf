"""The real dispatcher, queue and worker of the stack: quick, and unmoved by hostile messages."""

from __future__ import annotations

import base64
import json
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import redis

from services.jobs.context import context_for, open_ledger
from services.jobs.kinds.probe import ProbeSpec
from services.jobs.submit import forced, submit
from services.settings import Settings
from services.stack.status import status
from tests.conftest import MSMCTL
from tests.integration.conftest import Shell
from workers.app import TASK, broker_url


@pytest.fixture
def broker(stack: Any) -> redis.Redis:
    return redis.Redis.from_url(broker_url(stack.settings))


def worker_pid(settings: Settings) -> int | None:
    return next(process.pid for process in status(settings) if process.name == "worker")


def message(**parts: Any) -> bytes:
    """A Celery message as kombu puts it on a list, with some parts replaced."""
    body = [[], {"job": "mine-20261121-073015-ab12", "chunk": "plan", "attempt": 1}, {}]
    whole = {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": TASK, "id": str(uuid.uuid4()), "argsrepr": "", "kwargsrepr": ""},
        "properties": {
            "correlation_id": "x",
            "delivery_mode": 2,
            "priority": 0,
            "body_encoding": "base64",
            "delivery_info": {"exchange": "", "routing_key": "msm.cpu"},
            "delivery_tag": str(uuid.uuid4()),
        },
    }
    return json.dumps(whole | parts).encode()


def encoded(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


HOSTILE: dict[str, Callable[[], bytes]] = {
    "not JSON": lambda: b"\x00\xff garbage",
    "JSON, but no envelope": lambda: b"[1, 2, 3]",
    "an envelope without properties": lambda: b'{"body": "e30="}',
    "deeply nested": lambda: b"[" * 100_000,
    "huge": lambda: message(body=encoded([["x" * 8_000_000], {}, {}])),
    "a body that is not base64": lambda: message(body="%%%"),
    "pickle": lambda: message(**{"content-type": "application/x-python-serialize"}),
    "an unknown task": lambda: message(headers={"task": "os.system", "id": "1", "lang": "py"}),
    "wrong types": lambda: message(body=encoded([[], {"job": 1, "chunk": [], "attempt": "x"}, {}])),
    "a path for an id": lambda: message(
        body=encoded([[], {"job": "../../etc/passwd", "chunk": "plan", "attempt": 1}, {}])
    ),
    "another field": lambda: message(
        body=encoded(
            [
                [],
                {"job": "mine-20261121-073015-ab12", "chunk": "plan", "attempt": 1, "path": "/etc/passwd"},
                {},
            ]
        )
    ),
    "an unknown job": lambda: message(),
    "too many arguments": lambda: message(body=encoded([[1, 2, 3, 4, 5], {}, {}])),
}


@pytest.mark.slow
def test_hostile_messages_are_dropped_and_the_worker_goes_on(
    stack: Any, broker: redis.Redis, cli: Any
) -> None:
    before = worker_pid(stack.settings)
    for make in HOSTILE.values():
        broker.lpush("msm:msm.cpu", make())
    answer = cli("jobs", "probe", "--json")
    assert (answer.code, json.loads(answer.stdout)[0]["state"]) == (0, "succeeded")
    assert worker_pid(stack.settings) == before
    assert broker.llen("msm:msm.cpu") == 0
    log = (stack.home / "logs" / "worker.log").read_text("utf-8", errors="replace")
    assert log.count("dropped message: unreadable") >= 3
    assert log.count("dropped message: not a hint") >= 4
    assert log.count("dropped message: refused by Celery") >= 2


def test_every_queue_has_a_worker(stack: Any, cli: Any) -> None:
    for queue in ("cpu", "gpu", "train"):
        answer = cli("jobs", "probe", "--queue", queue, "--json")
        assert (answer.code, json.loads(answer.stdout)[0]["result"]["sum"]) == (0, 332_833_500)


def test_a_detached_job_is_watched_listed_shown_and_removed(stack: Any, cli: Any) -> None:
    answer = cli("jobs", "probe", "--detach", "--json")
    job = json.loads(answer.stdout)[0]["job"]
    watched = cli("jobs", "watch", job, "--json")
    lines = [json.loads(line) for line in watched.stdout.splitlines()]
    assert (watched.code, lines[-1]["state"], lines[-1]["done"]) == (0, "succeeded", 4)
    assert job in [row["job"] for row in json.loads(cli("jobs", "ls", "--json").stdout)]
    assert json.loads(cli("jobs", "show", job, "--json").stdout)["chunk_states"]["done"] == 6
    assert cli("jobs", "rm", job).code == 0
    assert cli("jobs", "show", job).code == 7


def test_the_dispatcher_and_the_worker_cost_a_small_job_less_than_two_seconds(stack: Any, cli: Any) -> None:
    cli("jobs", "probe")  # the worker's child has imported what it needs
    cli("jobs", "probe", "--numbers", "10", "--step", "10")
    (job, *_) = json.loads(cli("jobs", "ls", "--limit", "1", "--json").stdout)
    assert job["chunks"] == 1
    assert job["seconds"] < 2


def test_ctrl_c_leaves_the_job_running_and_says_how_to_watch(stack: Any, cli: Any) -> None:
    process = subprocess.Popen([MSMCTL, "jobs", "probe", "--pause", "0.5"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    next(line for line in process.stderr if line.startswith("job "))
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    watch = next(line for line in err.splitlines() if "msmctl jobs watch" in line).partition("msmctl ")[2]
    assert cli(*watch.split()).code == 0


def test_a_paused_job_stands_still_until_it_is_resumed_and_a_cancelled_one_ends(stack: Any, cli: Any) -> None:
    job = json.loads(cli("jobs", "probe", "--pause", "3", "--detach", "--json").stdout)[0]["job"]
    ledger = open_ledger(context_for(stack.settings))
    _until(lambda: any(row.state == "running" for row in ledger.work_rows(ledger.job(job))))
    assert cli("jobs", "pause", job).code == 0
    _until(lambda: {row.state for row in ledger.work_rows(ledger.job(job))} <= {"pending", "done"})
    assert cli("jobs", "resume", job).code == 0
    _until(lambda: any(row.state == "running" for row in ledger.work_rows(ledger.job(job))))
    assert cli("jobs", "cancel", job).code == 0
    watched = cli("jobs", "watch", job)
    assert (watched.code, ledger.job(job).state) == (1, "cancelled")
    assert f"msmctl jobs retry {job}" in watched.stderr


def _until(ask: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not ask():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.1)


def test_equal_specs_of_two_commands_are_one_job(stack: Any) -> None:
    context = context_for(stack.settings)
    ledger = open_ledger(context)
    spec = forced(ProbeSpec(numbers=10, step=10, pause=0.5))
    one, two = (submit(ledger, context, [spec]).jobs[0].id for _ in range(2))
    assert one == two


def test_a_command_waits_no_longer_than_its_timeout_and_the_job_goes_on(shell: Shell) -> None:
    arguments = ("--numbers", "1000", "--step", "1000", "--pause", "4", "--timeout", "1")
    stopped = shell.run("jobs", "probe", *arguments)
    assert stopped.code == 124
    (job,) = re.findall(r"msmctl jobs watch (\S+)", stopped.stderr)
    assert shell.run("jobs", "watch", job, "--timeout", "0.5", "--json").code == 124
    assert shell.run("jobs", "watch", job).code == 0
