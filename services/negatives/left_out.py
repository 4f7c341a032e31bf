"""Which step of a selection took each row out."""

from __future__ import annotations

import numpy as np

from services.negatives.block import CandidateBlock, Mask


class LeftOut:
    """A `Witness` of one block's selection.

    Attributes:
        by: The step's name, by row.
    """

    def __init__(self) -> None:
        self.by: dict[int, str] = {}

    def begin(self, block: CandidateBlock) -> None:
        """All rows are there."""

    def remove(self, step: str, block: CandidateBlock, gone: Mask) -> None:
        """Keep the step's name."""
        self.by |= dict.fromkeys(np.flatnonzero(gone).tolist(), step)

    def judged(self, block: CandidateBlock, kept: Mask) -> None:
        """Nothing to keep."""

    def end(self, block: CandidateBlock, kept: Mask) -> None:
        """Nothing to keep."""
