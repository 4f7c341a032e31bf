"""Errors that are kept as values: nothing else is kept alive by them."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Sequence
from typing import Any, cast

from elastic_transport import ConnectionTimeout

from services.deadline import Deadline
from services.errors import TooLate, without_frames
from services.search.legs import Leg, Query, Tools
from services.search.retrieval import prepare


class Large:
    """Something that a frame holds."""


class Slow:
    """A leg whose query is never ready."""

    preparation = "encode:slow"

    def __init__(self) -> None:
        self.held: weakref.ref[Large] | None = None

    async def queries(self, texts: Sequence[str], tools: Tools, deadline: Deadline) -> list[Query]:
        large = Large()
        self.held = weakref.ref(large)
        try:
            async with asyncio.timeout(deadline.timeout):
                await asyncio.sleep(60)
        except TimeoutError as error:
            raise TooLate(f"{large} was late") from error
        return []


def test_an_error_and_its_causes_forget_where_they_came_through() -> None:
    def failing() -> weakref.ref[Large]:
        large = Large()
        try:
            raise KeyError("first")
        except KeyError as cause:
            errors.append(TooLate("second"))
            errors[0].__cause__ = cause
            cause.__context__ = errors[0]  # a circle is no trap
        return weakref.ref(large)

    def tried() -> tuple[Exception, ...]:
        try:
            raise OSError("an earlier attempt")
        except OSError as earlier:
            return (earlier,)

    errors: list[Exception] = []
    gc.disable()
    try:
        held = failing()
        assert held() is not None, "the traceback of the cause has the frame"
        without_frames(errors[0])
        assert held() is None
    finally:
        gc.enable()
    assert isinstance(errors[0].__cause__, KeyError)
    last = ConnectionTimeout("timed out", errors=tried())
    without_frames(last)
    assert last.errors[0].__traceback__ is None


def test_legs_that_are_late_leave_nothing_for_the_collector_of_garbage() -> None:
    legs = [Slow(), Slow()]

    async def search() -> list[str]:
        tools = cast(Any, None)
        ready, failures = await prepare(cast(list[Leg], legs), ["q"], tools, Deadline.after(20))
        assert ready == []
        return [str(failure) for failure in failures]

    gc.disable()
    try:
        assert asyncio.run(search()) == ["encode:slow:timeout"] * 2
        assert [leg.held() for leg in legs if leg.held] == [None, None]
    finally:
        gc.enable()
