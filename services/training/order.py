"""The order of examples: a function of seed and step, so that any step can be had without those before it.

An epoch is a permutation of all examples, cut into pools of 64 batches; a method arranges the examples of
a pool (by length, without duplicates) into exactly as many batches as fill it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from services.negatives.block import Index

POOL = 64


@dataclass(frozen=True)
class Pool:
    """Some examples whose batches are the steps `lo <= step < hi` of the run."""

    lo: int
    hi: int
    rows: Index
    seed: tuple[int, int, int]


@dataclass(frozen=True)
class Order:
    """The order of `count` examples in batches of `batch`, epoch after epoch."""

    count: int
    batch: int
    seed: int

    @property
    def epoch_steps(self) -> int:
        """Batches of one pass over the examples; the last one may be smaller."""
        return -(-self.count // self.batch)

    def pools(self, lo: int, hi: int) -> Iterator[Pool]:
        """The pools that the steps `lo <= step < hi` lie in, ascending."""
        size = POOL * self.batch
        step = lo
        while step < hi:
            epoch, within = divmod(step, self.epoch_steps)
            first = within // POOL
            order = np.random.default_rng([self.seed, epoch]).permutation(self.count)
            for number in range(first, -(-self.epoch_steps // POOL)):
                begin = epoch * self.epoch_steps + number * POOL
                if begin >= hi:
                    return
                rows = order[number * size : (number + 1) * size]
                step = begin + -(-len(rows) // self.batch)
                yield Pool(begin, step, rows, (self.seed, epoch, number))
