"""What the routes of the console share, and what a key that may not ask everything sees."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from services.api.console import console as module
from services.api.console import jobs
from services.api.console.console import Console
from services.api.keys.key import Key
from services.errors import Unavailable
from services.jobs.context import file_ledger
from services.jobs.kind import Context
from services.jobs.ledger import Ledger
from services.jobs.records import Job
from services.settings import Settings
from services.store import Store


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return Console(Settings(home=tmp_path), Store(str(tmp_path / "store")))


def in_a_file(context: Context) -> Ledger:
    context.elastic()
    return file_ledger(context)


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What became of each client that was made; ledgers are files."""
    made: list[list[str]] = []

    def connect(settings: Settings, user: str) -> SimpleNamespace:
        life = [f"made for {user}"]
        made.append(life)
        return SimpleNamespace(close=lambda: life.append("closed"))

    monkeypatch.setattr(module, "connect", connect)
    monkeypatch.setattr(module, "open_ledger", in_a_file)
    return made


def test_one_client_and_one_ledger_serve_all_requests_until_the_end(
    console: Console, clients: list[list[str]]
) -> None:
    assert console.ledger is console.ledger
    assert console.elastic is console.elastic
    console.close()
    assert clients == [["made for console", "closed"]]


def test_what_nobody_asked_for_is_not_made(console: Console, clients: list[list[str]]) -> None:
    console.close()
    assert clients == []


def test_a_ledger_that_was_away_is_asked_again(
    console: Console, clients: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(context: Context) -> Ledger:
        raise Unavailable("away")

    with monkeypatch.context() as outage:
        outage.setattr(module, "open_ledger", away)
        with pytest.raises(Unavailable):
            _ = console.ledger
    assert console.ledger.jobs() == []


def key(*collections: str) -> Key:
    return Key(id="0" * 12, hash="", scopes=("admin",), collections=collections, created=datetime.now(UTC))


def job(n: int, collection: str) -> Job:
    return Job(
        id=f"mine-{n}", kind="mine", queue="cpu", collection=collection, title="", spec={}, hash=str(n),
        state="running", created=f"2026-11-21T07:00:{n:02d}Z",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("collections", "limit", "seen"),
    [
        ((), 2, ["mine-5", "mine-4"]),
        (("ours",), 2, ["mine-1", "mine-0"]),
        (("ours",), 1, ["mine-1"]),
        (("ours", "theirs"), 3, ["mine-5", "mine-4", "mine-3"]),
        (("nobody's",), 2, []),
    ],
)
def test_a_key_sees_as_many_of_its_own_jobs_as_it_asked_for(
    console: Console, clients: list[list[str]], collections: tuple[str, ...], limit: int, seen: list[str]
) -> None:
    for n in range(6):
        console.ledger.create_job(job(n, "ours" if n < 2 else "theirs"))
    found = jobs.jobs(console, key(*collections), limit)
    assert [one["job"] for one in found["jobs"]] == seen
