"""The queue in front of the tokenizers: bounded by characters, whoever gives up meanwhile."""

from __future__ import annotations

import asyncio
import threading

import pytest

from services.errors import InputError, Overloaded
from services.inference.batching import Piece
from services.inference.tokeniser import Tokeniser


class Thread:
    """A tokeniser whose thread is held up until `go`."""

    def __init__(self, most: int) -> None:
        self.tokeniser = Tokeniser(most)
        self.go = threading.Event()
        self.made: list[str] = []

    def ask(self, text: str) -> asyncio.Task[list[Piece]]:
        def make() -> list[Piece]:
            assert self.go.wait(30)
            self.made.append(text)
            return [Piece(text, len(text), text)]

        return asyncio.create_task(self.tokeniser.pieces("m", [text], make))

    async def idle(self) -> None:
        while self.tokeniser.waiting:
            await asyncio.sleep(0.001)


def test_more_characters_than_may_wait_are_refused_until_the_thread_has_gone_on() -> None:
    async def course() -> None:
        thread = Thread(most=10)
        first, second = thread.ask("123456"), thread.ask("7890")
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="m: 10 characters wait, and 1 more would be beyond the 10"):
            await thread.ask("x")
        thread.go.set()
        assert [(await task)[0].key for task in (first, second)] == ["123456", "7890"]
        await thread.idle()
        assert (await thread.ask("x"))[0].key == "x"
        thread.tokeniser.close()

    asyncio.run(course())


def test_what_is_longer_than_the_bound_is_let_in_where_nothing_waits() -> None:
    async def course() -> None:
        thread = Thread(most=10)
        thread.go.set()
        assert (await thread.ask("x" * 11))[0].tokens == 11
        thread.tokeniser.close()

    asyncio.run(course())


def test_who_gives_up_before_his_turn_makes_room_and_whose_work_has_begun_does_not() -> None:
    async def course() -> None:
        thread = Thread(most=10)
        begun, waits = thread.ask("123456"), thread.ask("7890")
        await asyncio.sleep(0.05)
        for task in (begun, waits):
            task.cancel()
        await asyncio.gather(begun, waits, return_exceptions=True)
        assert thread.tokeniser.waiting == 6
        thread.go.set()
        await thread.idle()
        assert thread.made == ["123456"]
        thread.tokeniser.close()

    asyncio.run(course())


def test_a_text_that_fails_does_not_stay_counted() -> None:
    async def course() -> None:
        tokeniser = Tokeniser(10)

        def fail() -> list[Piece]:
            raise InputError("no text")

        with pytest.raises(InputError, match="no text"):
            await tokeniser.pieces("m", ["1234567890"], fail)
        while tokeniser.waiting:
            await asyncio.sleep(0.001)
        tokeniser.close()

    asyncio.run(course())
