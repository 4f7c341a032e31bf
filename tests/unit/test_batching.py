"""What the models process computes next: scheduling alone, with a runner that only notes what it is given."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from batching_kit import BLOCK, NEVER, Noting, held, pieces

from services.deadline import Deadline
from services.errors import MsmError, Overloaded, TooLate
from services.inference.batching import Batcher, Piece
from services.inference.priority import NICE, stand_back


class Failing(Noting):
    def compute(self, payloads: Sequence[Any]) -> list[Any]:
        raise RuntimeError("no such kernel\nmore of it")


def scheduled(scenario: Callable[[Batcher], Awaitable[None]], limit: int = 10_000) -> None:
    async def run() -> None:
        batcher = Batcher(limit)
        try:
            await scenario(batcher)
        finally:
            await batcher.close()

    asyncio.run(run())


def test_an_idle_device_begins_at_once_and_answers_in_the_order_asked() -> None:
    async def scenario(batcher: Batcher) -> None:
        runner = Noting()
        assert await batcher.compute(runner, pieces("b", "a", "b"), NEVER) == ["B", "A", "B"]
        assert sorted(text for block in runner.blocks for text in block) == ["a", "b"]
        assert batcher.queued == 0

    scheduled(scenario)


def test_what_comes_in_while_the_device_is_busy_is_one_block() -> None:
    async def scenario(batcher: Batcher) -> None:
        runner = Noting()
        first = await held(batcher, runner)
        others = [asyncio.create_task(batcher.compute(runner, pieces(text), NEVER)) for text in "xyz"]
        await asyncio.sleep(0)
        runner.gate.set()
        assert await asyncio.gather(first, *others) == [["HELD"], ["X"], ["Y"], ["Z"]]
        assert [sorted(block) for block in runner.blocks] == [["held"], ["x", "y", "z"]]

    scheduled(scenario)


def test_a_block_holds_no_more_tokens_than_suit_the_device_padding_included() -> None:
    async def scenario(batcher: Batcher) -> None:
        runner = Noting()
        long, short = pieces("long", tokens=17), pieces(*"abcdefgh", tokens=5)
        await batcher.compute(runner, [*short, *long], NEVER)
        # 17 tokens are padded to 24, of which 64 hold two rows; 5 to 8, of which they hold eight.
        assert [len(block) for block in runner.blocks] == [2, 7]
        assert "long" in runner.blocks[0]

    scheduled(scenario)


def test_pieces_of_others_that_are_as_long_fill_a_block_up() -> None:
    async def scenario(batcher: Batcher) -> None:
        runner = Noting()
        first = await held(batcher, runner)
        mine = [*pieces("mine", tokens=30), *pieces("small", tokens=2)]
        theirs = [*pieces("theirs", tokens=29), *pieces("tiny", tokens=1)]
        both = [asyncio.create_task(batcher.compute(runner, some, NEVER)) for some in (mine, theirs)]
        await asyncio.sleep(0)
        runner.gate.set()
        await asyncio.gather(first, *both)
        assert runner.blocks[1:] == [["mine", "theirs"], ["small", "tiny"]]

    scheduled(scenario)


def test_the_request_that_is_due_first_is_computed_first() -> None:
    async def scenario(batcher: Batcher) -> None:
        runner = Noting()
        first = await held(batcher, runner)
        asked = {"patient": NEVER, "hurried": Deadline.after(5_000), "hasty": Deadline.after(4_000)}
        tasks = [
            asyncio.create_task(batcher.compute(runner, pieces(text, tokens=BLOCK), deadline))
            for text, deadline in asked.items()
        ]
        await asyncio.sleep(0)
        runner.gate.set()
        await asyncio.gather(first, *tasks)
        assert [text for block in runner.blocks[1:] for text in block] == ["hasty", "hurried", "patient"]

    scheduled(scenario)


def test_in_a_hurry_blocks_are_short_and_their_pieces_in_order() -> None:
    async def scenario(batcher: Batcher) -> None:
        rising = [Piece(f"p{n}", n, f"p{n}") for n in range(1, 9)]
        hurried, patient = Noting(), Noting()
        # Ten blocks a second until the first is measured: 32 tokens in a twentieth of a second.
        await batcher.compute(hurried, rising, Deadline.after(1_500))
        assert hurried.blocks[0] == ["p1", "p2", "p3", "p4"], "rows are padded to eight tokens"
        await batcher.compute(patient, rising, NEVER)
        assert len(patient.blocks[0]) == 8

    scheduled(scenario)


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
def test_the_device_s_thread_can_stand_back() -> None:
    class Told(Noting):
        def compute(self, payloads: Sequence[Any]) -> list[Any]:
            return [os.getpriority(os.PRIO_PROCESS, threading.get_native_id())] * len(payloads)

    async def run() -> None:
        here = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        for begin, lower in ((stand_back, min(NICE, 19 - here)), (lambda: None, 0)):
            batcher = Batcher(10_000, begin=begin)
            assert await batcher.compute(Told(), pieces("a"), NEVER) == [here + lower]
            await batcher.close()
        assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == here

    asyncio.run(run())


def test_blocks_are_short_while_anybody_is_in_a_hurry() -> None:
    async def scenario(batcher: Batcher) -> None:
        runner = Noting()
        first = await held(batcher, runner)
        waited = asyncio.create_task(batcher.compute(runner, pieces(*"abcdefgh"), NEVER))
        await asyncio.sleep(0)
        next(iter(job for job in batcher._jobs if len(job.items) == 8)).due = 0.0
        hasty = asyncio.create_task(batcher.compute(runner, pieces("z"), Deadline.after(1_500)))
        await asyncio.sleep(0)
        batcher._measure = lambda *_: None  # type: ignore[method-assign]
        runner.gate.set()
        await asyncio.gather(first, waited, hasty)
        assert runner.blocks[1:3] == [["a", "b", "c", "d"], ["e", "f", "g", "h"]]

    scheduled(scenario)


def test_what_cannot_be_done_in_time_does_not_hold_up_what_can() -> None:
    async def scenario(batcher: Batcher) -> None:
        runner = Noting()
        await held(batcher, runner)
        # Ten blocks a second: a piece of 640 tokens takes one.
        asked = {"hopeless": 0.4, "hasty": 5.0, "more so": 0.5}
        tasks = [
            asyncio.create_task(
                batcher.compute(runner, pieces(text, tokens=640), Deadline.after(1000 * seconds))
            )
            for text, seconds in asked.items()
        ]
        await asyncio.sleep(0)
        batcher._measure = lambda *_: None  # type: ignore[method-assign]
        runner.gate.set()
        assert await asyncio.gather(*tasks) == [[None], ["HASTY"], [None]]
        assert runner.blocks[1:] == [["hasty"]]

    scheduled(scenario)


def test_where_nothing_can_be_done_in_time_the_last_due_is_tried_and_the_others_are_told_at_once() -> None:
    async def scenario(batcher: Batcher) -> None:
        runner = Noting()
        first = await held(batcher, runner)
        asked = {"soon": 6_000, "later": 7_000, "sooner": 5_000}
        deadlines = {text: Deadline.after(milliseconds) for text, milliseconds in asked.items()}
        tasks = [
            asyncio.create_task(batcher.compute(runner, pieces(text, tokens=64_000), deadline))
            for text, deadline in deadlines.items()
        ]
        await asyncio.sleep(0)
        batcher._measure = lambda *_: None  # type: ignore[method-assign]
        runner.gate.set()
        assert await asyncio.gather(first, *tasks) == [["HELD"], [None], ["LATER"], [None]]
        assert runner.blocks == [["held"], ["later"]]
        assert not deadlines["sooner"].passed, "it is told long before"

    scheduled(scenario, limit=1_000_000)


def test_what_was_reached_before_a_request_is_given_up_is_its_answer() -> None:
    async def scenario(batcher: Batcher) -> None:
        runner = Noting()
        first = await held(batcher, runner)
        # Ten blocks a second: a hundred seconds for the second piece.
        mixed = [*pieces("short"), *pieces("long", tokens=64_000)]
        hasty = asyncio.create_task(batcher.compute(runner, mixed, Deadline.after(9_000)))
        patient = asyncio.create_task(batcher.compute(runner, pieces("patient", tokens=BLOCK), NEVER))
        await asyncio.sleep(0)
        batcher._measure = lambda *_: None  # type: ignore[method-assign]
        runner.gate.set()
        assert await asyncio.gather(first, hasty, patient) == [["HELD"], ["SHORT", None], ["PATIENT"]]

    scheduled(scenario, limit=1_000_000)


def test_others_fill_a_block_no_further_than_its_most_urgent_request_has_time() -> None:
    async def scenario(batcher: Batcher) -> None:
        runner = Noting()
        first = await held(batcher, runner)
        # A fixed part of half a second: a short block may take one, in which 64 tokens are done.
        batcher._speed(runner).fixed, batcher._speed(runner).per_token = 0.5, 0.5 / 64
        batcher._measure = lambda *_: None  # type: ignore[method-assign]
        others = asyncio.create_task(batcher.compute(runner, pieces(*"abcdef"), Deadline.after(9_000)))
        hasty = asyncio.create_task(batcher.compute(runner, pieces("z"), Deadline.after(900)))
        await asyncio.sleep(0)
        runner.gate.set()
        await asyncio.gather(first, others, hasty)
        assert runner.blocks[1][0] == "z"
        assert len(runner.blocks[1]) < 4, "720 ms, in which 28 tokens are done"
        assert len(runner.blocks[2]) > 2

    scheduled(scenario)


def test_equal_pieces_of_concurrent_requests_are_computed_once() -> None:
    async def scenario(batcher: Batcher) -> None:
        runner = Noting()
        first = await held(batcher, runner)
        again = asyncio.create_task(batcher.compute(runner, pieces("same", "held"), NEVER))
        other = asyncio.create_task(batcher.compute(runner, pieces("same"), NEVER))
        await asyncio.sleep(0)
        runner.gate.set()
        assert await asyncio.gather(first, again, other) == [["HELD"], ["SAME", "HELD"], ["SAME"]]
        assert runner.blocks == [["held"], ["same"]]
        assert batcher.shared == 2

    scheduled(scenario)


def test_equal_texts_of_two_models_are_not_the_same() -> None:
    async def scenario(batcher: Batcher) -> None:
        one, other = Noting(), Noting()
        await asyncio.gather(*(batcher.compute(runner, pieces("t"), NEVER) for runner in (one, other)))
        assert one.blocks == other.blocks == [["t"]]

    scheduled(scenario)


def test_at_the_deadline_the_answer_is_what_is_there() -> None:
    async def scenario(batcher: Batcher) -> None:
        runner = Noting()
        first = await held(batcher, runner)
        assert await batcher.compute(runner, pieces("late"), Deadline.after(20)) == [None]
        assert batcher.queued == 8  # the held piece only
        runner.gate.set()
        assert await first == ["HELD"]
        assert runner.blocks == [["held"]], "what nobody waits for is not computed"

    scheduled(scenario)


def test_of_a_request_in_a_hurry_its_beginning_is_computed_first_of_one_with_time_the_longest() -> None:
    async def scenario(batcher: Batcher) -> None:
        rising = [Piece(f"p{n}", 100 * n, f"p{n}") for n in range(1, 5)]
        hurried, patient = Noting(), Noting()
        # Ten blocks a second until the first is measured: a second is 640 tokens, of which .8 count.
        await batcher.compute(hurried, rising, Deadline.after(1_000))
        assert hurried.blocks[0][0] in ("p1", "p2")
        await batcher.compute(patient, rising, NEVER)
        assert patient.blocks[0] == ["p4"]

    scheduled(scenario)


def test_work_of_a_client_that_went_away_is_dropped_unless_others_wait_for_it() -> None:
    async def scenario(batcher: Batcher) -> None:
        runner = Noting()
        first = await held(batcher, runner)
        gone = asyncio.create_task(batcher.compute(runner, pieces("own", "shared"), NEVER))
        stays = asyncio.create_task(batcher.compute(runner, pieces("shared"), NEVER))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])
        assert batcher.queued == 16
        runner.gate.set()
        assert await asyncio.gather(first, stays) == [["HELD"], ["SHARED"]]
        assert runner.blocks == [["held"], ["shared"]]

    scheduled(scenario)


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    async def scenario(batcher: Batcher) -> None:
        runner = Noting()
        first = await held(batcher, runner)
        with pytest.raises(Overloaded, match="8 tokens wait, and 16 more would be beyond the 20") as refused:
            await batcher.compute(runner, pieces("a", "b"), NEVER)
        assert refused.value.retry_after >= 0.1
        fits = asyncio.create_task(batcher.compute(runner, pieces("a"), NEVER))
        await asyncio.sleep(0)
        runner.gate.set()
        assert await asyncio.gather(first, fits) == [["HELD"], ["A"]]

    scheduled(scenario, limit=20)


def test_what_is_greater_than_the_whole_queue_is_let_in_where_nothing_waits() -> None:
    async def scenario(batcher: Batcher) -> None:
        assert await batcher.compute(Noting(), pieces("a", "b", "c"), NEVER) == ["A", "B", "C"]

    scheduled(scenario, limit=20)


def test_nothing_is_begun_after_the_deadline() -> None:
    async def scenario(batcher: Batcher) -> None:
        runner = Noting()
        with pytest.raises(TooLate):
            await batcher.compute(runner, pieces("a"), Deadline.after(0))
        assert runner.blocks == []

    scheduled(scenario)


def test_an_error_of_the_device_reaches_who_waits_and_the_queue_goes_on() -> None:
    async def scenario(batcher: Batcher) -> None:
        (value,) = await batcher.compute(Failing(), pieces("a"), NEVER)
        assert isinstance(value, MsmError)
        assert value.message == "noting: cannot be computed: no such kernel"
        assert await batcher.compute(Noting(), pieces("a"), NEVER) == ["A"]

    scheduled(scenario)
