"""What became of the candidates: how many each verdict, filter and cut removed, by system."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from services.negatives.block import CandidateBlock, Index, Mask
from services.negatives.histogram import Histogram
from services.systems.system import System


@dataclass
class Tally:
    """Counts of rows by system, added up over blocks; a `Witness` of a selection.

    Attributes:
        systems: Whose rows.
        candidates: int64 [systems], all rows.
        removed: By step in order of application, int64 [systems].
        negatives: int64 [systems], rows that are left.
        usable: Of what is left, what makes rows of a format: 0 where no query has enough for one.
        margins: Of what verdicts leave: lowest positive's ce_score minus the candidate's, in logits.
    """

    systems: tuple[System, ...]
    candidates: Index = field(init=False)
    negatives: Index = field(init=False)
    removed: dict[str, Index] = field(default_factory=dict)
    usable: int = 0
    margins: Histogram = field(default_factory=Histogram)

    def __post_init__(self) -> None:
        self.candidates, self.negatives = self._none(), self._none()

    def begin(self, block: CandidateBlock) -> None:
        """Count a block's rows."""
        self.candidates += self._by_system(block, np.ones(len(block), np.bool_))

    def remove(self, step: str, block: CandidateBlock, gone: Mask) -> None:
        """Count rows that a step takes out; a step that takes none is named too."""
        self.removed.setdefault(step, self._none())
        self.removed[step] += self._by_system(block, gone)

    def judged(self, block: CandidateBlock, kept: Mask) -> None:
        """Count the margins of what verdicts leave, each pair once."""
        self.margins.add(block.margin[np.unique(block.pair[kept])])

    def end(self, block: CandidateBlock, kept: Mask) -> None:
        """Count what is left of a block."""
        self.negatives += self._by_system(block, kept)

    def as_dict(self) -> dict[str, Any]:
        """The shape of `--json`."""
        return {
            "candidates": self._named(self.candidates),
            "removed": [{"by": step, "systems": self._named(gone)} for step, gone in self.removed.items()],
            "negatives": self._named(self.negatives),
        }

    def rows(self) -> list[dict[str, Any]]:
        """A row per step, a column per system: for a table."""
        return [
            {"step": "candidates", **self._named(self.candidates)},
            *({"step": f"- {step}", **self._named(gone)} for step, gone in self.removed.items()),
            {"step": "negatives", **self._named(self.negatives)},
        ]

    @property
    def names(self) -> list[str]:
        """Of the systems."""
        return [system.name for system in self.systems]

    def _named(self, counts: Index) -> dict[str, int]:
        return {name: int(n) for name, n in zip(self.names, counts, strict=True)}

    def _by_system(self, block: CandidateBlock, rows: Mask) -> Index:
        return np.bincount(block.system[rows], minlength=len(self.systems)).astype(np.int64)

    def _none(self) -> Index:
        return np.zeros(len(self.systems), np.int64)
