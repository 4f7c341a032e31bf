"""Some shards of a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic

from services.mining.blocks import Blocks, R_co
from services.mining.ranking import Ords


@dataclass(frozen=True)
class Within(Generic[R_co]):
    """Only some shards of a system's vectors or term weights, by their range."""

    vectors: Blocks[R_co]
    ranges: frozenset[tuple[int, int]]

    def blocks(self) -> Iterator[tuple[int, int, R_co]]:
        """The shards whose range is among `ranges`."""
        return (block for block in self.vectors.blocks() if block[:2] in self.ranges)

    def take(self, positions: Ords) -> R_co:
        """As the table has them."""
        return self.vectors.take(positions)
