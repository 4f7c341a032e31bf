"""Figures of a split's negatives: survivors by filter, histograms of scores and margins, overlap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from services.negatives.block import CandidateBlock, Mask
from services.negatives.histogram import Histogram
from services.negatives.opening import Opened
from services.negatives.tally import Tally
from services.negatives.verdicts import Verdict
from services.systems.system import System


class Stats(Tally):
    """Counts and histograms by system, added up over blocks; a `Witness` of a selection.

    Attributes:
        verdicts: By verdict, int64 [systems]: rows.
        scores: Per system, its own scores of what verdicts leave.
        margins_by_system: Per system, the margins of what verdicts leave.
        overlap: int64 [systems, systems]: negatives that both have.
    """

    def __init__(self, systems: tuple[System, ...]) -> None:
        super().__init__(systems)
        self.verdicts = {verdict.label: np.zeros(len(systems), np.int64) for verdict in Verdict}
        self.scores = [Histogram() for _ in systems]
        self.margins_by_system = [Histogram() for _ in systems]
        self.overlap = np.zeros((len(systems), len(systems)), np.int64)

    def begin(self, block: CandidateBlock) -> None:
        """Count a block's rows by verdict."""
        super().begin(block)
        verdict = block.pairs.verdict[block.pair]
        for code in Verdict:
            self.verdicts[code.label] += np.bincount(
                block.system[verdict == code], minlength=len(self.systems)
            )

    def judged(self, block: CandidateBlock, kept: Mask) -> None:
        """Count scores and margins of what verdicts leave."""
        super().judged(block, kept)
        for n in range(len(self.systems)):
            rows = np.flatnonzero(kept & (block.system == n))
            self.scores[n].add(block.score[rows])
            self.margins_by_system[n].add(block.margin[block.pair[rows]])

    def end(self, block: CandidateBlock, kept: Mask) -> None:
        """Count the negatives, and those that two systems share."""
        super().end(block, kept)
        has = np.zeros((len(block.pairs), len(self.systems)), np.float64)
        has[block.pair[kept], block.system[kept]] = 1
        self.overlap += (has.T @ has).astype(np.int64)

    def margin_rows(self, bins: int = 20) -> list[dict[str, float]]:
        """Margins as a table: a row per bin, which begins at `margin`, a column per system."""
        all_ = self.margins.coarse(bins)
        by_system = [one.at(all_.width) for one in self.margins_by_system]
        counts = [dict(zip(one.edges, one.counts, strict=False)) for one in by_system]
        return [
            {"margin": edge, **{name: of.get(edge, 0) for name, of in zip(self.names, counts, strict=True)}}
            for edge in all_.edges[:-1]
        ]


def collect(opened: Opened, done: Callable[[int], None] = lambda queries: None) -> Stats:
    """The figures of all queries.

    Args:
        opened: What to read.
        done: Called with the number of queries read so far.
    """
    candidates = opened.candidates
    stats = Stats(candidates.systems)
    read = 0
    for n in range(candidates.blocks):
        done(read)
        block = candidates.block(n)
        opened.selection.keep(block, stats)
        read += len(block.qids)
    done(read)
    return stats


def as_dict(opened: Opened, stats: Stats) -> dict[str, Any]:
    """The shape of `negatives stats --json`."""
    candidates, names = opened.candidates, stats.names
    return {
        "collection": candidates.collection.name,
        "split": candidates.split,
        "queries": len(candidates.qords),
        "systems": names,
        **opened.described,
        "margin": opened.candidates.rules.margin,
        **stats.as_dict(),
        "verdicts": {
            label: dict(zip(names, counts.tolist(), strict=True)) for label, counts in stats.verdicts.items()
        },
        "scores": dict(zip(names, (one.as_dict() for one in stats.scores), strict=True)),
        "margins": {
            "all": stats.margins.as_dict(),
            **dict(zip(names, (one.as_dict() for one in stats.margins_by_system), strict=True)),
        },
        "overlap": {
            name: dict(zip(names, row, strict=True))
            for name, row in zip(names, stats.overlap.tolist(), strict=True)
        },
    }
