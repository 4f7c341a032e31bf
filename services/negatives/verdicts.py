"""What is thought of a candidate, and why. Computed on reading from qrels, texts, scores and people's marks.

Precedence: a person, then what is known (judged, removed), then copies, then the cross-encoder. A
candidate that a cross-encoder puts near the positives is probably one that nobody labelled (Qu et al.,
RocketQA, 2021, call it a false negative); the margin is a number of logits of that one model.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np

from services.mining.exclusion import Reason
from services.mining.ranking import Scores
from services.negatives.block import CandidateBlock, Codes, Index, Mask, Positives, below


class Verdict(IntEnum):
    """Of a pair. Negatives are `KEEP`; `LIKELY_POSITIVE` and `TOO_EASY` become none by a filter."""

    KEEP = 0
    POSITIVE = 1
    LIKELY_POSITIVE = 2
    TOO_EASY = 3
    NEAR_DUPLICATE = 4
    EXCLUDED = 5

    @property
    def label(self) -> str:
        """As users write it."""
        return self.name.lower()


_OF_REASON = np.array(
    [
        {
            Reason.KEPT: Verdict.KEEP,
            Reason.POSITIVE: Verdict.POSITIVE,
            Reason.JUDGED: Verdict.EXCLUDED,
            Reason.REMOVED: Verdict.EXCLUDED,
            Reason.EXACT_COPY: Verdict.NEAR_DUPLICATE,
            Reason.NEAR_COPY: Verdict.NEAR_DUPLICATE,
        }[reason]
        for reason in Reason
    ],
    np.uint8,
)
_WHY = {
    Reason.POSITIVE: "positive in the qrels",
    Reason.JUDGED: "judged above zero, but no positive of this query",
    Reason.REMOVED: "removed from the collection",
    Reason.EXACT_COPY: "has the text of a positive",
    Reason.NEAR_COPY: "has nearly the text of a positive",
}


@dataclass(frozen=True)
class Rules:
    """How cross-encoder scores are read, in logits of that model; None: that verdict is not given.

    Attributes:
        margin: `likely_positive`: score not below (positive's score - margin).
        per: Of which positive: `lowest` of the query, or `positive`: of each of them, which a score is that
            is not below the highest's.
        easy: `too_easy`: score below (lowest positive's score - easy).
        relabel: `positive`: score at or above this.
    """

    margin: float | None = None
    easy: float | None = None
    relabel: float | None = None
    per: Literal["lowest", "positive"] = "lowest"


def verdicts(
    reason: Codes, query: Index, ce: Scores, positives: Positives, rules: Rules, marks: Codes, marked: Mask
) -> Codes:
    """The verdict of each pair.

    Args:
        reason: `Reason` of each pair.
        query: Position of each pair's query.
        ce: Score of each pair, NaN where there is none.
        positives: Of the queries; NaN scores do not count.
        rules: How scores are read.
        marks: Verdicts by people, where `marked`.
        marked: Whether a person gave a verdict.
    """
    found = _OF_REASON[reason]
    open_ = found == Verdict.KEEP
    with np.errstate(invalid="ignore"):
        # NaN compares false: what is not scored gets no verdict.
        if rules.easy is not None:
            found[open_ & (below(positives.lowest[query], ce) > rules.easy)] = Verdict.TOO_EASY
        if rules.margin is not None:
            near = below(positives.bar(rules.per)[query], ce) <= rules.margin
            found[open_ & near] = Verdict.LIKELY_POSITIVE
        if rules.relabel is not None:
            found[open_ & (ce >= rules.relabel)] = Verdict.POSITIVE
    # Nobody can bring back a passage that the collection does not have any more.
    by_person = marked & (reason != Reason.REMOVED)
    found[by_person] = marks[by_person]
    return found


def negatives(block: CandidateBlock) -> Mask:
    """Per row, whether it may be a negative before any filter: known, copied and marked ones are not."""
    verdict = block.pairs.verdict
    cross_encoders = (verdict == Verdict.LIKELY_POSITIVE) | (verdict == Verdict.TOO_EASY)
    may_be: Mask = (verdict == Verdict.KEEP) | (cross_encoders & ~block.pairs.marked)
    return may_be[block.pair]


def why(block: CandidateBlock, pair: int, rules: Rules, mark: str | None = None) -> str:
    """The reason of a pair's verdict, in words.

    Args:
        block: The block that the pair is in.
        pair: Its position.
        rules: Those that the block was made with.
        mark: What the person said, where the verdict is a person's.
    """
    pairs, positives = block.pairs, block.positives
    reason = Reason(pairs.reason[pair])
    if pairs.marked[pair] and reason != Reason.REMOVED:
        return f"a person: {mark}" if mark else "a person"
    if reason in _WHY:
        return _WHY[reason]
    return _by_score(
        Verdict(pairs.verdict[pair]), float(pairs.ce[pair]), positives, int(pairs.query[pair]), rules
    )


def _by_score(verdict: Verdict, ce: float, positives: Positives, query: int, rules: Rules) -> str:
    lowest = float(positives.lowest[query])
    if np.isnan(ce):
        return "not scored"
    if verdict == Verdict.POSITIVE:
        return f"score {ce:.2f} is at or above {rules.relabel:g}"
    if np.isnan(lowest):
        return "no positive of the query is scored"
    distance = f"{lowest - ce:.2f} below the lowest positive"
    each = rules.per == "positive"
    if verdict == Verdict.LIKELY_POSITIVE:
        of = " of every positive" if each else ""
        return f"score {ce:.2f}, {distance}: within the margin of {rules.margin:g}{of}"
    if verdict == Verdict.TOO_EASY:
        return f"score {ce:.2f}, {distance}: more than {rules.easy:g}"
    if each and rules.margin is not None and lowest - ce <= rules.margin:
        return f"score {ce:.2f}, {distance}: a negative of positives more than {rules.margin:g} above it"
    return f"score {ce:.2f}, {distance}"
