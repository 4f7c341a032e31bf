"""From judged candidates to negatives: verdicts, filters in the order given, sampling, depth.

Nothing here is stored: the same candidates give other negatives as soon as one asks differently, without
an encoder and without a cross-encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from services.errors import UsageError
from services.negatives.block import CandidateBlock, Index, Mask
from services.negatives.filters.filter import Sources
from services.negatives.filters.parse import Applied, parse_filter
from services.negatives.sampling import STRATEGIES, Sampling, Strategy
from services.negatives.verdicts import Rules, Verdict, negatives

Scored = Literal["nothing", "positives", "all"]


class Witness(Protocol):
    """Sees what becomes of a block's rows, step by step."""

    def begin(self, block: CandidateBlock) -> None:
        """All rows are there."""

    def remove(self, step: str, block: CandidateBlock, gone: Mask) -> None:
        """A step takes rows out; called for every step, in order."""

    def judged(self, block: CandidateBlock, kept: Mask) -> None:
        """These rows are what verdicts leave, before any filter."""

    def end(self, block: CandidateBlock, kept: Mask) -> None:
        """These rows are the negatives."""


@dataclass(frozen=True)
class Selection:
    """Which rows of a block are negatives.

    Attributes:
        filters: In the order in which they apply.
        sampling: Of what they leave; None: all of it.
        depths: Per system, how many rows of a query at most; applied last. Empty: no limit.
        scored: What the cross-encoder must have scored to count: nothing, positives, or all; applied before
            anything is chosen by number.
    """

    filters: tuple[Applied, ...] = ()
    sampling: Sampling | None = None
    depths: tuple[int, ...] = ()
    scored: Scored = "nothing"

    @classmethod
    def parse(
        cls,
        filters: Sequence[str],
        *,
        sample: Strategy | None = None,
        num: int | None = None,
        seed: int = 0,
    ) -> Selection:
        """As the command line writes it.

        Raises:
            UsageError: a filter or its arguments are not known, two of them would give a pair two verdicts,
                or a strategy has no number.
        """
        if sample is not None and num is None:
            raise UsageError(
                f"--sample {sample} of how many?", hint="add --num N, the number of negatives per query"
            )
        if sample is not None and sample not in STRATEGIES:
            raise UsageError(f"no such sampling '{sample}'", hint=f"there are {', '.join(STRATEGIES)}")
        sampling = Sampling(sample or "top", num, seed) if num is not None else None
        applied = tuple(map(parse_filter, filters))
        _require_one_verdict(filters, applied)
        return cls(applied, sampling)

    @property
    def needs(self) -> frozenset[str]:
        """Names of all scores that the filters read (`services.negatives.filters.filter.Filter.needs`)."""
        return frozenset[str]().union(*(one.filter.needs(one.arguments) for one in self.filters))

    @property
    def described(self) -> list[str]:
        """Filters and sampling in order, for manifests."""
        return [one.described for one in self.filters] + ([self.sampling.described] if self.sampling else [])

    def prepared(self, sources: Sources, depths: Sequence[int] = ()) -> Selection:
        """For these sources, cut at these depths.

        Raises:
            UsageError, NotFound: a filter does not fit what is read.
        """
        return replace(
            self, filters=tuple(one.prepared(sources) for one in self.filters), depths=tuple(depths)
        )

    def rules(self, margin: float | None, relabel: float | None) -> Rules:
        """How verdicts read scores: as the filter says that decides it, else by the given margin."""
        for one in self.filters:
            if one.filter.rules is not None:
                return replace(one.filter.rules(one.arguments), relabel=relabel)
        return Rules(margin, relabel=relabel)

    def keep(self, block: CandidateBlock, witness: Witness | None = None) -> Mask:
        """Per row, whether it is a negative.

        Args:
            block: Whose named scores are those of `needs`.
            witness: Is told of every step.
        """
        steps = _Steps(block, witness)
        steps.leave_judged()
        for one in self.filters:
            steps.filter(one)
        if self.scored == "all":
            steps.to("no score", steps.kept & ~np.isnan(block.pairs.ce)[block.pair])
        if self.sampling is not None:
            steps.to(self.sampling.described, self.sampling.keep(block, steps.kept))
        if self.depths:
            steps.to("depth", _cut(block, steps.kept, self.depths))
        if witness is not None:
            witness.end(block, steps.kept)
        return steps.kept

    def admits(self, block: CandidateBlock, positive: Index, pair: Index) -> Mask:
        """Whether a positive and a negative may stand side by side.

        Args:
            block: The block.
            positive: Positions in `block.positives`.
            pair: As many positions in `block.pairs`, of the same queries.
        """
        allowed = np.ones(len(pair), np.bool_)
        for one in self.filters:
            if one.filter.admits is not None:
                allowed &= one.filter.admits(block, positive, pair, one.arguments) | _by_person(block)[pair]
        return allowed


def _require_one_verdict(texts: Sequence[str], filters: Sequence[Applied]) -> None:
    """See that every pair has one verdict, which says whether it may be a negative."""
    deciding = [text for text, one in zip(texts, filters, strict=True) if one.filter.rules is not None]
    if len(deciding) > 1:
        raise UsageError(
            f"filters {' and '.join(deciding)}: a candidate has one verdict, so one of these",
            hint="one ce-margin has both ends: --filter ce-margin=3,easy=10",
        )


class _Steps:
    """The rows that are left, step by step."""

    def __init__(self, block: CandidateBlock, witness: Witness | None) -> None:
        self._block = block
        self._witness = witness
        self.kept: Mask = np.ones(len(block), np.bool_)
        if witness is not None:
            witness.begin(block)

    def to(self, step: str, kept: Mask) -> None:
        if self._witness is not None:
            self._witness.remove(step, self._block, self.kept & ~kept)
        self.kept = kept

    def leave_judged(self) -> None:
        """What verdicts alone exclude; what only the cross-encoder thinks is left to its filters."""
        may_be = negatives(self._block)
        verdict = self._block.pairs.verdict[self._block.pair]
        for code in Verdict:
            if code != Verdict.KEEP:
                person = " by a person" if code in (Verdict.LIKELY_POSITIVE, Verdict.TOO_EASY) else ""
                self.to(f"{code.label}{person}", self.kept & (may_be | (verdict != code)))
        if self._witness is not None:
            self._witness.judged(self._block, self.kept)

    def filter(self, one: Applied) -> None:
        block, declared = self._block, one.filter
        if declared.known is None:
            self.to(one.described, declared.keep(block, self.kept, one.arguments))
            return
        person = self.kept & _by_person(block)[block.pair]
        self.to(f"{one.described}: not scored", self.kept & (declared.known(block, one.arguments) | person))
        self.to(one.described, declared.keep(block, self.kept, one.arguments) | person)


def _by_person(block: CandidateBlock) -> Mask:
    """Per pair, whether a person says that it is a negative."""
    said: Mask = block.pairs.marked & (block.pairs.verdict == Verdict.KEEP)
    return said


def _cut(block: CandidateBlock, kept: Mask, depths: Sequence[int]) -> Mask:
    cut = np.zeros(len(block), np.bool_)
    for system, depth in enumerate(depths):
        rows, starts = block.by_system(kept, system)
        cut[rows[np.arange(len(rows)) - np.repeat(starts[:-1], np.diff(starts)) < depth]] = True
    return cut
