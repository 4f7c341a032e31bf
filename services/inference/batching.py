"""Which work a thread computes next, decided anew for every block.

Requests bring pieces (a text, or a query with a passage) of known length. Nothing waits while the device is
idle: a block is what has come in until it is free. The most urgent request decides which model runs and
how long the block's rows are; pieces of the same model and about that length, whoever asked, fill it up,
so that next to nothing is padding. Of a request only the first pieces that can be done by its deadline, at
the speed measured so far, are looked at: what is reached is a beginning of its list. While somebody is in a
hurry a block is short, else none would be done in time. Equal pieces are computed once. What nobody waits for
any more is dropped before it is computed, and so is what cannot be done in time, unless nothing else is to
be done: whoever asked is told when the running block ends, and need not wait for nothing.

Everything here runs in one event loop; only `Runner.compute` runs in the device's thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from services.deadline import Deadline
from services.encoding.blocks import STEP
from services.errors import MsmError, Overloaded, TooLate, first_line
from services.inference.speed import Speed

POOL_BLOCKS = 16
"""Blocks' worth of pieces among which those of equal length are looked for."""
PATIENCE = 10.0
"""Seconds after which a request without (or with a far) deadline is as urgent as one that is due now."""
HURRY = 2.0
"""Seconds: a deadline that is nearer makes blocks short."""
SHORT = 0.05
"""Seconds that a short block takes, or twice what is the same for blocks of any size: less is waste."""
FIRST_GUESS = 10.0
"""Blocks per second until the first one was measured."""
_SAFETY = 0.8


class Runner(Protocol):
    """A model on the device. Runners are compared by identity."""

    @property
    def name(self) -> str:
        """For messages and metrics."""

    @property
    def block_tokens(self) -> int:
        """Tokens per block that suit the device."""

    def compute(self, payloads: Sequence[Any]) -> list[Any]:
        """A value for each payload, or an exception in its place. Called in the device's thread."""


@dataclass(frozen=True)
class Piece:
    """What is computed as one row.

    Attributes:
        key: Pieces of one runner with equal keys have equal values.
        tokens: Its length.
        payload: What `Runner.compute` takes.
    """

    key: Hashable
    tokens: int
    payload: Any


@dataclass(frozen=True)
class Block:
    """What was computed together, for metrics: `waited` are the seconds that its oldest piece lay there."""

    runner: str
    rows: int
    tokens: int
    seconds: float
    waited: float


@dataclass(eq=False)
class _Item:
    """A piece that somebody waits for."""

    runner: Runner
    piece: Piece
    jobs: set[_Job] = field(default_factory=set)
    since: float = field(default_factory=time.monotonic)
    running: bool = False
    value: Any = None
    done: bool = False


@dataclass(eq=False)
class _Job:
    """A request: its items in order (one may occur twice), and how many are missing."""

    runner: Runner
    items: list[_Item]
    deadline: Deadline
    due: float
    missing: int
    finished: asyncio.Event


class Batcher:
    """A queue for a device and the thread that empties it.

    Args:
        limit: Tokens that may wait.
        on_block: Told of every block.
        begin: Called in the thread before anything else.
    """

    def __init__(
        self,
        limit: int,
        on_block: Callable[[Block], None] = lambda block: None,
        begin: Callable[[], None] = lambda: None,
    ) -> None:
        self._limit = limit
        self._on_block = on_block
        self._items: dict[tuple[Runner, Hashable], _Item] = {}
        self._jobs: set[_Job] = set()
        self._speeds: WeakKeyDictionary[Runner, Speed] = WeakKeyDictionary()
        self._device = ThreadPoolExecutor(1, "device", begin)
        self._task: asyncio.Task[None] | None = None
        self.queued = 0
        self.shared = 0

    async def compute(self, runner: Runner, pieces: Sequence[Piece], deadline: Deadline) -> list[Any]:
        """Values of pieces, in order; None for those that are not reached by the deadline.

        Args:
            runner: Computes them.
            pieces: In order of importance.
            deadline: When the answer is given, whatever is missing; sooner where no more can be done by then.

        Raises:
            TooLate: the deadline has passed already.
            Overloaded: more tokens would wait than may.
        """
        if deadline.passed:
            raise TooLate(f"{runner.name}: the deadline passed before anything was computed")
        if not pieces:
            return []
        job = self._admitted(runner, pieces, deadline)
        try:
            async with asyncio.timeout(deadline.timeout):
                await job.finished.wait()
        except TimeoutError:
            pass  # what is there is the answer
        finally:
            self._leave(job)
        return [item.value for item in job.items]

    async def close(self) -> None:
        """Compute nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._device.shutdown(wait=False, cancel_futures=True)

    # -- who waits for what ------------------------------------------------------------------------

    def _admitted(self, runner: Runner, pieces: Sequence[Piece], deadline: Deadline) -> _Job:
        fresh = {piece.key: piece.tokens for piece in pieces if (runner, piece.key) not in self._items}
        tokens = sum(fresh.values())
        # What is greater than the whole queue is let in where nothing waits: it would be refused for ever.
        if self.queued and self.queued + tokens > self._limit:
            raise Overloaded(
                f"{runner.name}: {self.queued:,} tokens wait, and {tokens:,} more would be beyond the "
                f"{self._limit:,} that may",
                retry_after=round(max(0.1, self._seconds(runner, self.queued)), 1),
                hint="ask again later, ask for less, or raise MSM_QUEUE_TOKENS",
            )
        now = time.monotonic()
        items = [
            self._items.setdefault((runner, piece.key), _Item(runner, piece, since=now)) for piece in pieces
        ]
        self.queued += tokens
        self.shared += len(pieces) - len(fresh)
        due = min(deadline.at, now + PATIENCE)
        job = _Job(runner, items, deadline, due, len(set(items)), asyncio.Event())
        for item in items:
            item.jobs.add(job)
        self._jobs.add(job)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work())
        return job

    def _leave(self, job: _Job) -> None:
        self._jobs.discard(job)
        for item in job.items:
            item.jobs.discard(job)
            if not item.jobs and not item.running and not item.done:
                self._forget(item)

    def _forget(self, item: _Item) -> None:
        if self._items.pop((item.runner, item.piece.key), None) is not None:
            self.queued -= item.piece.tokens

    def _settle(self, item: _Item, value: Any) -> None:
        item.value, item.done, item.running = value, True, False
        self._forget(item)
        for job in item.jobs:
            job.missing -= 1
            if not job.missing:
                job.finished.set()

    # -- what is computed next ---------------------------------------------------------------------

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while waiting := [job for job in self._jobs if job.missing]:
            jobs = self._in_turn(waiting)
            runner, room = jobs[0].runner, self._room(jobs)
            block, began = self._next(jobs, room), time.monotonic()
            for item in block:
                item.running = True
            try:
                values = await loop.run_in_executor(
                    self._device, runner.compute, [item.piece.payload for item in block]
                )
            except Exception as error:  # whoever waits for a piece of the block is told, the others go on
                values = [_said(runner, error)] * len(block)
            self._measure(block, began, time.monotonic() - began)
            for item, value in zip(block, values, strict=True):
                self._settle(item, value)

    def _speed(self, runner: Runner) -> Speed:
        return self._speeds.setdefault(runner, Speed(1 / (runner.block_tokens * FIRST_GUESS)))

    def _seconds(self, runner: Runner, tokens: int) -> float:
        """How long so many tokens take, in blocks that suit the device."""
        return tokens / runner.block_tokens * self._speed(runner).seconds(runner.block_tokens)

    def _in_turn(self, jobs: Sequence[_Job]) -> list[_Job]:
        """The most urgent first. Those whose next piece cannot be done in time are given up.

        Where that is true of all, the last due is tried, and measured.
        """

        def late(job: _Job) -> bool:
            following = next(item for item in job.items if not item.done)
            return self._speed(job.runner).seconds(following.piece.tokens) > _SAFETY * job.deadline.left

        kept = [job for job in jobs if not late(job)] or [max(jobs, key=lambda job: job.due)]
        lost = set(jobs).difference(kept)
        for job in lost:
            job.finished.set()
        kept.sort(key=lambda job: job.due)
        for runner in {job.runner for job in lost if not job.deadline.passed}:
            self._speed(runner).skipped()
        return kept

    def _room(self, jobs: Sequence[_Job]) -> int:
        """Tokens of the next block: as many as suit the device, or as it does in a short time.

        The most urgent is in time with it, whoever fills it up.
        """
        runner = jobs[0].runner
        if min(job.deadline.left for job in jobs) > HURRY:
            return runner.block_tokens
        speed = self._speed(runner)
        short = min(max(SHORT, 2 * speed.fixed), _SAFETY * jobs[0].deadline.left)
        return min(runner.block_tokens, int(speed.tokens(short)))

    def _next(self, jobs: Sequence[_Job], room: int) -> list[_Item]:
        """The next block: the longest reachable piece of the most urgent job, and the longest below that.

        In a hurry, the first pieces as they come.
        """
        head = jobs[0]
        pool = self._pool([job for job in jobs if job.runner is head.runner], room)
        if room < head.runner.block_tokens:
            return _first(pool, room)
        longest = max(_padded(item) for item in pool if head in item.jobs)
        fitting = sorted(
            (item for item in pool if _padded(item) <= longest), key=lambda item: -item.piece.tokens
        )
        return fitting[: max(1, room // longest)]

    def _pool(self, jobs: Sequence[_Job], room: int) -> list[_Item]:
        """Pieces that can be done in time, of each job from its beginning; in a hurry, few."""
        runner = jobs[0].runner
        speed = self._speed(runner)
        most = room if room < runner.block_tokens else POOL_BLOCKS * runner.block_tokens
        pool: dict[_Item, None] = {}
        total = 0
        for job in jobs:
            reach = min(most, speed.tokens(_SAFETY * job.deadline.left))
            for item in job.items:
                if item.done or item in pool:
                    continue
                if pool and total + item.piece.tokens > reach:
                    break
                pool[item] = None
                total += item.piece.tokens
        return list(pool)

    def _measure(self, block: Sequence[_Item], began: float, seconds: float) -> None:
        runner, tokens = block[0].runner, sum(item.piece.tokens for item in block)
        self._speed(runner).took(tokens, seconds)
        waited = began - min(item.since for item in block)
        self._on_block(Block(runner.name, len(block), tokens, seconds, waited))


def _first(pool: Sequence[_Item], room: int) -> list[_Item]:
    """As many of the first pieces as fit, one at least; rows are as long as the longest."""
    longest = 0
    for n, item in enumerate(pool):
        longest = max(longest, _padded(item))
        if n and (n + 1) * longest > room:
            return list(pool[:n])
    return list(pool)


def _padded(item: _Item) -> int:
    return -(-item.piece.tokens // STEP) * STEP


def _said(runner: Runner, error: Exception) -> Exception:
    """The device's errors in our words; a defect of ours stays what it is."""
    if isinstance(error, RuntimeError | MemoryError):
        return MsmError(f"{runner.name}: cannot be computed: {first_line(error)}")
    return error
