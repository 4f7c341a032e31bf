"""Pairs to scores: token-sorted blocks across queries, each score put in its pair's place."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from services.encoding.blocks import Block, Positions, computed, plan_blocks
from services.scoring.backend import Backend, Scores
from services.scoring.layout import Lengths
from services.scoring.ragged import Index, Ragged
from services.scoring.tokenizer import PairTokenizer


@dataclass
class Scored:
    """Scores [pairs], NaN for those that cannot be computed, and why, by position.

    Attributes:
        tokens: Computed, padding left out.
        seconds: That the model took.
    """

    scores: Scores
    dead: dict[int, str] = field(default_factory=dict)
    tokens: int = 0
    seconds: float = 0.0


class Engine:
    """A tokenizer and a backend."""

    def __init__(self, tokenizer: PairTokenizer, backend: Backend) -> None:
        self.tokenizer = tokenizer
        self.backend = backend

    def score(
        self,
        queries: Ragged,
        passages: Ragged,
        q: Index,
        p: Index,
        *,
        fill: bool = True,
        scale: float = 1.0,
        progress: Callable[[int], None] = lambda done: None,
    ) -> Scored:
        """Score pairs.

        Args:
            queries: Ids of queries.
            passages: Ids of passages.
            q: Per pair, the position of its query.
            p: Per pair, the position of its passage.
            fill: Whether short blocks are filled up to their full shape (the same bytes for the same
                pairs); without, a handful costs no more than it must.
            scale: Below 1 after memory ran out: smaller blocks; results agree to 1e-6.
            progress: Called after each block with the number of pairs done.

        Raises:
            MemoryError: a block does not fit.
            RuntimeError: nothing at all can be computed.
        """
        layout = self.tokenizer.layout
        scored = Scored(np.full(len(q), np.nan, np.float32))
        good = self._computable(queries, passages, q, p, scored)
        left = layout.truncated(queries.lengths[q[good]], passages.lengths[p[good]])
        totals = layout.totals(left)
        scored.tokens = int(totals.sum())
        budget = max(1, int(self.backend.block_tokens * scale))
        began, done = time.monotonic(), len(scored.dead)

        def forward(some: Positions, block: Block) -> Scores:
            pairs = good[some]
            lengths = Lengths(left.query[some], left.middle[some], left.passage[some])
            rows = layout.rows(queries, passages, q[pairs], p[pairs], lengths, block.rows, block.length)
            return self.backend.forward(*rows)[: len(some)]

        for block in plan_blocks(totals, budget, layout.max_length, fill=fill):
            self._block(block, forward, good, scored)
            done += len(block.positions)
            progress(done)
        scored.seconds = time.monotonic() - began
        return scored

    def _block(
        self, block: Block, forward: Callable[[Positions, Block], Scores], good: Index, scored: Scored
    ) -> None:
        nothing = Ragged(np.empty(0, np.int32), np.zeros(2, np.int64), np.zeros(1, np.int64))
        layout, one = self.tokenizer.layout, np.zeros(1, np.int64)

        def probe() -> Scores:
            lengths = layout.truncated(one, one)
            return self.backend.forward(
                *layout.rows(nothing, nothing, one, one, lengths, block.rows, block.length)
            )

        for some, scores in computed(block.positions, lambda some: forward(some, block), probe):
            if isinstance(scores, str):
                scored.dead[int(good[some[0]])] = scores
                continue
            finite = np.isfinite(scores)
            scored.scores[good[some[finite]]] = scores[finite]
            scored.dead |= {int(n): "the model's output is not a number" for n in good[some[~finite]]}

    def _computable(self, queries: Ragged, passages: Ragged, q: Index, p: Index, scored: Scored) -> Index:
        """The pairs whose tokens the model knows; the others are dead."""
        known = self.backend.vocabulary
        beyond = np.zeros(len(q), np.bool_)
        for what, texts, of in (("query", queries, q), ("passage", passages, p)):
            strange = _beyond(texts, known)
            for n in np.flatnonzero(strange[of] & ~beyond):
                scored.dead[int(n)] = f"the {what} has a token beyond the model's vocabulary of {known}"
            beyond |= strange[of]
        return np.flatnonzero(~beyond)


def _beyond(texts: Ragged, known: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Per text, whether a token id is not below `known`."""
    strange = np.zeros(len(texts), np.bool_)
    places = np.flatnonzero(texts.ids >= known)
    strange[np.searchsorted(texts.starts, places, side="right") - 1] = True
    return strange
