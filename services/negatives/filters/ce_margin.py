"""Leave out what a cross-encoder puts near the positives: probably positives that nobody labelled.

Qu et al., RocketQA, 2021. The margin of 3 logits goes with ms-marco-MiniLM, as the reference training
scripts have it; another model's logits spread differently, so that each has a margin of its own.
What this filter takes out is what has the verdict `likely_positive` or `too_easy` by its arguments.
"""

from __future__ import annotations

import numpy as np

from services.negatives.block import CandidateBlock, Index, Margins, Mask, below
from services.negatives.filters.filter import CE, Alias, Arguments, Filter, Parameter, Sources
from services.negatives.filters.values import number, one_of
from services.negatives.verdicts import Rules


def _prepare(arguments: Arguments, sources: Sources) -> Arguments:
    margin = sources.margin if arguments["margin"] is None else arguments["margin"]
    if margin is None:
        raise ValueError(
            f"cross-encoder '{sources.ce}' has no margin of its own: write one, such as ce-margin=3; "
            f"`msmctl negatives stats --collection {sources.collection} --ce {sources.ce}` shows all margins"
        )
    return {**arguments, "margin": margin}


def _below(block: CandidateBlock, arguments: Arguments) -> Margins:
    """Per pair, how far it is below the positive that counts; NaN where either has no score."""
    return below(block.positives.bar(arguments["per"])[block.pairs.query], block.pairs.ce)


def _known(block: CandidateBlock, arguments: Arguments) -> Mask:
    known: Mask = ~np.isnan(_below(block, arguments))
    return known[block.pair]


def _keep(block: CandidateBlock, kept: Mask, arguments: Arguments) -> Mask:
    passes = _below(block, arguments) > arguments["margin"]
    if arguments["easy"] is not None:
        passes &= ~(block.margin > arguments["easy"])
    far: Mask = kept & passes[block.pair]
    return far


def _admits(block: CandidateBlock, positive: Index, pair: Index, arguments: Arguments) -> Mask:
    far: Mask = below(block.positives.ce[positive], block.pairs.ce[pair]) > arguments["margin"]
    return far if arguments["per"] == "positive" else np.ones(len(pair), np.bool_)


CE_MARGIN = Filter(
    name="ce-margin",
    help="Cross-encoder scores below (lowest positive's - margin).",
    parameters=(
        Parameter("margin", "in logits; default: the cross-encoder's own", number),
        Parameter("per", "lowest (positive of the query), or positive: below any of them, and in triplets "
                  "below their own; default: lowest", one_of("lowest", "positive"), "lowest"),
        Parameter("easy", "also leave out scores below (lowest positive's - E); default: none", number),
    ),
    keep=_keep,
    needs=lambda arguments: frozenset({CE}),
    prepare=_prepare,
    rules=lambda arguments: Rules(arguments["margin"], arguments["easy"], per=arguments["per"]),
    known=_known,
    admits=_admits,
    aliases={"absolute_margin": Alias("margin", str, "the same, with the lowest positive")},
    example="ce-margin=3",
)  # fmt: skip
