"""Texts to vectors or term weights: tokenise once, compute in blocks, put each in its text's place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np

from services.encoding.backend import Backend, R
from services.encoding.blocks import Block, Positions, computed, plan_blocks
from services.encoding.gathering import Gathering
from services.encoding.tokens import Tokenizer
from services.errors import first_line

ENGINE_VERSION = 1
"""Part of the vectors' fingerprint: raised when the same model and text would give other bytes."""


@dataclass(frozen=True)
class Encoded(Generic[R]):
    """Rows [texts, dim], and why some texts have none (theirs are zero, or have no term), by position."""

    vectors: R
    dead: dict[int, str]


class Engine(Generic[R]):
    """A tokenizer and a backend."""

    def __init__(self, tokenizer: Tokenizer, backend: Backend[R]) -> None:
        self.tokenizer = tokenizer
        self.backend = backend

    def encode(
        self,
        texts: Sequence[str],
        *,
        prompt: str = "",
        fill: bool = True,
        scale: float = 1.0,
        progress: Callable[[int], None] = lambda done: None,
    ) -> Encoded[R]:
        """Encode texts.

        Args:
            texts: Any number; blocks are formed over all of them.
            prompt: Put before each text.
            fill: Whether short blocks are filled up to their full shape (the same bytes for the same
                texts); without, a handful of texts costs no more than it must.
            scale: Below 1 after memory ran out: smaller blocks; results agree to 1e-6.
            progress: Called after each block with the number of texts done.

        Raises:
            MemoryError: a block does not fit.
            RuntimeError: nothing at all can be computed.
        """
        rows, dead = self.tokens(texts, prompt=prompt)
        return self.encode_tokens(rows, dead, fill=fill, scale=scale, progress=progress)

    def encode_tokens(
        self,
        rows: list[list[int]],
        dead: dict[int, str],
        *,
        fill: bool = True,
        scale: float = 1.0,
        progress: Callable[[int], None] = lambda done: None,
    ) -> Encoded[R]:
        """Encode what `tokens` gave. Arguments and errors as of `encode`."""
        gathering, dead = self.backend.gathering(len(rows)), dict(dead)
        good = np.array([n for n in range(len(rows)) if n not in dead], np.int64)
        lengths = np.array([len(rows[n]) for n in good], np.int64)
        budget = max(1, int(self.backend.block_tokens * scale))
        done = len(dead)
        for block in plan_blocks(lengths, budget, self.tokenizer.max_length, fill=fill):
            positions = good[block.positions]
            dead |= self._block(gathering, rows, positions, block)
            done += len(positions)
            progress(done)
        return Encoded(gathering.result(), dead)

    def tokens(self, texts: Sequence[str], *, prompt: str = "") -> tuple[list[list[int]], dict[int, str]]:
        """Token ids per text, and the texts that cannot be computed, with why."""
        dead: dict[int, str] = {}
        whole = [prompt + text for text in texts] if prompt else list(texts)
        try:
            rows = self.tokenizer.ids(whole)
        except (TypeError, ValueError):  # UnicodeError is a ValueError: a lone surrogate
            rows = [self._tokens_of_one(n, text, dead) for n, text in enumerate(whole)]
        known = self.backend.vocabulary
        for n, row in enumerate(rows):
            if not row:
                dead.setdefault(n, "no tokens")
            elif max(row) >= known:
                dead[n] = f"token id {max(row)} is beyond the model's vocabulary of {known}"
        return rows, dead

    def _tokens_of_one(self, n: int, text: str, dead: dict[int, str]) -> list[int]:
        try:
            return self.tokenizer.ids([text])[0]
        except (TypeError, ValueError) as error:
            dead[n] = f"cannot be tokenised: {first_line(error)}"
            return []

    def _block(
        self, gathering: Gathering[R], rows: list[list[int]], positions: Positions, block: Block
    ) -> dict[int, str]:
        """Compute a block; why some of its texts cannot be, by position."""

        def forward(some: Positions) -> R:
            return self._forward([rows[n] for n in some], block)

        def probe() -> R:
            return self._forward(self.tokenizer.ids(["a"]), block)

        dead: dict[int, str] = {}
        for some, made in computed(positions, forward, probe):
            if isinstance(made, str):
                dead[int(some[0])] = made
                continue
            dead |= gathering.put(some, made)
        return dead

    def _forward(self, rows: list[list[int]], block: Block) -> R:
        return self.backend.forward(*self.tokenizer.pad_block(rows, block.rows, block.length))
