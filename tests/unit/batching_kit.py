"""A runner that only notes what it is given, and a device that is kept busy."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

from services.deadline import Deadline
from services.inference.batching import Batcher, Piece

NEVER = Deadline()
BLOCK = 64


class Noting:
    """Answers every payload with itself in capitals; `gate` holds the device as long as it is shut."""

    name, block_tokens = "noting", BLOCK

    def __init__(self) -> None:
        self.blocks: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()

    def compute(self, payloads: Sequence[Any]) -> list[Any]:
        self.blocks.append(list(payloads))
        assert self.gate.wait(20)
        return [text.upper() for text in payloads]


def pieces(*texts: str, tokens: int = 8) -> list[Piece]:
    return [Piece(text, tokens, text) for text in texts]


async def held(batcher: Batcher, runner: Noting) -> asyncio.Task[list[Any]]:
    """The device busy with a piece of somebody's, until the gate opens."""
    runner.gate.clear()
    task = asyncio.create_task(batcher.compute(runner, pieces("held"), NEVER))
    while not runner.blocks:
        await asyncio.sleep(0.001)
    return task
