"""A store that is slow, away or damaged does not fail a search: what was read last stands, or the default."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.deadline import Deadline
from services.errors import NotFound, TooLate, Unavailable, UsageError
from services.search import choice
from services.search.ask import Ask
from services.search.engine import Engine
from services.search.kept import Kept
from services.search.request import SearchRequest
from services.search.served import ServedVersions
from services.settings import Settings
from services.store import Store

AWAY = Unavailable("store away", hint="check the network")
SOON = 20.0
"""Milliseconds of a search that will not wait."""


class Source:
    """What a store says, call by call; an exception is raised, an event is waited for."""

    def __init__(self, *says: Any) -> None:
        self.says = list(says)
        self.calls = 0

    def __call__(self) -> Any:
        self.calls += 1
        said = self.says.pop(0)
        if isinstance(said, threading.Event):
            said.wait(30)
            said = self.says.pop(0)
        if isinstance(said, Exception):
            raise said
        return said


def kept(source: Callable[[], Any], fresh: float = 0.0, usable: float = math.inf) -> Kept[Any]:
    return Kept("it", source, fresh, usable)


async def settled(one: Kept[Any]) -> None:
    """Until nothing is being read."""
    while one._reading is not None:
        await asyncio.sleep(0.001)


def test_what_is_fresh_is_not_read_again_and_who_asks_at_once_waits_for_one_reading() -> None:
    source = Source("a")

    async def ask() -> list[str]:
        one = kept(source, fresh=math.inf)
        return [*await asyncio.gather(*(one.get(Deadline()) for _ in range(5))), await one.get(Deadline())]

    assert asyncio.run(ask()) == ["a"] * 6
    assert source.calls == 1


def test_what_is_old_is_given_while_it_is_read_anew_however_long_that_takes() -> None:
    hanging = threading.Event()

    async def ask() -> list[str]:
        one = kept(Source("a", hanging, "b"))
        found = [await one.get(Deadline()) for _ in range(3)]
        hanging.set()
        await settled(one)
        return [*found, await one.get(Deadline())]

    assert asyncio.run(ask()) == ["a", "a", "a", "b"]


def test_what_is_too_old_is_waited_for_within_a_deadline_and_then_given_all_the_same() -> None:
    hanging = threading.Event()

    async def ask() -> list[str]:
        one = kept(Source("a", "b", hanging, "c"), usable=0.0)
        found = [await one.get(Deadline()), await one.get(Deadline()), await one.get(Deadline.after(SOON))]
        hanging.set()
        return found

    assert asyncio.run(ask()) == ["a", "b", "b"]


def test_what_was_read_last_stands_while_the_store_is_away(caplog: pytest.LogCaptureFixture) -> None:
    async def ask() -> list[str]:
        one = kept(Source("a", AWAY, AWAY, "b"), usable=0.0)
        return [await one.get(Deadline()) for _ in range(4)]

    assert asyncio.run(ask()) == ["a", "a", "a", "b"]
    assert [record.message for record in caplog.records] == ["it cannot be read: store away"]


def test_what_was_never_read_is_an_error_that_is_not_asked_for_anew_at_once() -> None:
    source = Source(AWAY)

    async def ask() -> None:
        one = kept(source, fresh=60.0, usable=60.0)
        for _ in range(3):
            with pytest.raises(Unavailable, match="store away"):
                await one.get(Deadline())

    asyncio.run(ask())
    assert source.calls == 1


def test_a_store_that_does_not_answer_is_too_late() -> None:
    hanging = threading.Event()

    async def ask() -> None:
        one = kept(Source(hanging, "a"))
        with pytest.raises(TooLate, match="it: the store did not answer in time"):
            await one.get(Deadline.after(SOON))
        hanging.set()
        assert await one.get(Deadline()) == "a"

    asyncio.run(ask())


# -- in a search -----------------------------------------------------------------------------------

SAVED = choice.Choice(
    mode="bm25", split="train", measure="nDCG@10", labels="qrels", queries=100, gain=0.02, low=0.01,
    high=0.03, saved="2026-01-01T00:00:00+00:00",
)  # fmt: skip
VERSION: Any = SimpleNamespace(
    collection="c",
    passages="msm-c-passages-v1",
    meta=SimpleNamespace(systems={}, fields={}, vector_index="flat"),
)


class Broken(Store):
    """A store whose service is away, from `away` on."""

    away = True

    def read_bytes(self, key: str) -> bytes:
        if self.away:
            raise AWAY
        return super().read_bytes(key)


def resolved(store: Store, **request: Any) -> Ask:
    none: Any = None
    settings = Settings(home=Path("unused"))
    engine = Engine(none, settings, none, ServedVersions(none, settings, store))
    asked = SearchRequest.parse({"query": "x"} | request)
    return asyncio.run(engine.resolved(asked, VERSION, Deadline.after(60_000)))


def told(ask: Ask) -> list[str]:
    return [str(failure) for failure in ask.failures]


def test_a_saved_choice_is_followed(tmp_path: Path) -> None:
    choice.save(Store(str(tmp_path)), "c", SAVED)
    ask = resolved(Store(str(tmp_path)))
    assert (ask.chosen, told(ask)) == (True, [])


def test_a_choice_that_the_index_cannot_follow_leaves_the_default_and_is_told(tmp_path: Path) -> None:
    choice.save(Store(str(tmp_path)), "c", SAVED.model_copy(update={"mode": "dense", "systems": ("gone",)}))
    ask = resolved(Store(str(tmp_path)))
    assert ([leg.column.name for leg in ask.legs], ask.chosen, told(ask)) == (
        ["bm25"],
        False,
        ["choice:error"],
    )
    assert "does not serve 'gone'" in ask.failures[0].note
    with pytest.raises(NotFound, match="does not serve 'gone'"):
        resolved(Store(str(tmp_path)), mode="dense", systems=["gone"])


def test_a_damaged_choice_leaves_the_default_and_is_told_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "collections" / "c" / "search.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    ask = resolved(Store(str(tmp_path)))
    assert (ask.chosen, told(ask)) == (False, ["choice:error"])
    assert "msmctl tune forget --collection c" in ask.failures[0].note


def test_a_store_that_is_away_leaves_the_default(tmp_path: Path) -> None:
    ask = resolved(Broken(str(tmp_path)))
    assert (ask.chosen, told(ask)) == (False, ["choice:unavailable"])


def test_a_store_that_is_away_is_no_damaged_choice(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        choice.load(Broken(str(tmp_path)), "c")
    assert caught.value.hint == "check the network"


def test_who_leaves_nothing_open_needs_no_choice(tmp_path: Path) -> None:
    assert told(resolved(Broken(str(tmp_path)), mode="bm25", fusion="rrf")) == []


def test_without_the_store_a_reranker_that_is_not_named_is_left_out(tmp_path: Path) -> None:
    ask = resolved(Broken(str(tmp_path)), mode="bm25", fusion="rrf", rerank={})
    assert (ask.rerank, told(ask)) == (None, ["rerank:unavailable"])


def test_a_reranker_that_is_not_named_where_none_is_installed_stays_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Installed are: none"):
        resolved(Store(str(tmp_path)), rerank={})


# -- what is served --------------------------------------------------------------------------------


class Slow(ServedVersions):
    """Elasticsearch takes so many seconds to say what is served."""

    seconds = 0.05

    async def _ask(self, collection: str) -> Any:
        try:
            await asyncio.sleep(self.seconds)
            self._known[collection] = time.monotonic(), VERSION
            return VERSION
        finally:
            del self._asking[collection]


def served(tmp_path: Path) -> Slow:
    none: Any = None
    return Slow(none, Settings(home=Path("unused")), Store(str(tmp_path)))


def test_who_asks_first_waits_for_what_is_served_whatever_the_budget_is(tmp_path: Path) -> None:
    assert asyncio.run(served(tmp_path).of("c", Deadline.after(1))) is VERSION


def test_what_was_served_long_ago_is_given_where_the_node_is_late(tmp_path: Path) -> None:
    async def ask() -> Any:
        versions = served(tmp_path)
        versions.seconds = 60.0
        versions._known["c"] = time.monotonic() - 3600, VERSION
        return await versions.of("c", Deadline.after(1))

    assert asyncio.run(ask()) is VERSION


def test_a_node_that_never_says_what_is_served_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.search.served.PATIENCE", 0.01)
    versions = served(tmp_path)
    versions.seconds = 60.0
    with pytest.raises(Unavailable, match="no answer in time"):
        asyncio.run(versions.of("c", Deadline.after(1)))
