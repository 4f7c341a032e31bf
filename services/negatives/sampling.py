"""N of a query's negatives: the best ranked, random ones, or from the systems in turn.

All three choose passages; every row of a chosen passage stays. A random choice hashes (seed, qid) and the
passage, so that it depends neither on the other queries nor on how the work is cut, and stays as it is
where a filter takes others away.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from services.negatives.block import CandidateBlock, Index, Mask

Strategy = Literal["top", "random", "round-robin"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Sampling:
    """How many passages per query, and which."""

    strategy: Strategy
    num: int
    seed: int = 0

    @property
    def described(self) -> str:
        """For manifests."""
        seed = f",seed={self.seed}" if self.strategy == "random" else ""
        return f"{self.strategy}={self.num}{seed}"

    def keep(self, block: CandidateBlock, kept: Mask) -> Mask:
        """Of the kept rows, those of the chosen passages."""
        order = {"top": self._top, "random": self._random, "round-robin": self._in_turn}[self.strategy](
            block, kept
        )
        query = block.pairs.query[order]
        first = np.searchsorted(query, query)
        chosen = np.zeros(len(block.pairs), np.bool_)
        chosen[order[np.arange(len(order)) - first < self.num]] = True
        still: Mask = kept & chosen[block.pair]
        return still

    def _top(self, block: CandidateBlock, kept: Mask) -> Index:
        return block.merged(kept)

    def _random(self, block: CandidateBlock, kept: Mask) -> Index:
        pairs = np.unique(block.pair[kept])
        keys = np.array([_key(self.seed, qid) for qid in block.qids], np.uint64)
        drawn = _mixed(keys[block.pairs.query[pairs]] ^ _mixed(block.pairs.ords[pairs].astype(np.uint64)))
        return pairs[np.lexsort((drawn, block.pairs.query[pairs]))]

    def _in_turn(self, block: CandidateBlock, kept: Mask) -> Index:
        """The systems take turns, in registry order, each with its best passage that is not taken yet."""
        untaken = kept.copy()
        found: list[Index] = []
        # In a turn every system takes one passage per query at most; done when nobody has any left.
        while untaken.any() and len(found) < self.num * len(block.systems):
            for system in range(len(block.systems)):
                rows, starts = block.by_system(untaken, system)
                taken = block.pair[rows[starts[:-1][np.diff(starts) > 0]]]
                found.append(taken)
                gone = np.zeros(len(block.pairs), np.bool_)
                gone[taken] = True
                untaken &= ~gone[block.pair]
        order = np.concatenate([np.empty(0, np.int64), *found])
        return order[np.argsort(block.pairs.query[order], kind="stable")]


def _key(seed: int, qid: str) -> int:
    data = f"{seed}:{qid}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")


def _mixed(values: Hashes) -> Hashes:
    """The finaliser of splitmix64 (Steele et al., Fast splittable pseudorandom number generators, 2014)."""
    mixed: Any = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    hashes: Hashes = mixed ^ (mixed >> np.uint64(31))
    return hashes
