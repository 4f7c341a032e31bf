"""Leave out what scores nearly as high as the positive (TopK-PercPos; Moreira et al., NV-Retriever, 2024).

A share makes sense of scores that have a zero: a cosine, or sigmoid(ce_score). Of raw logits it does
not: .95 of -2 is above -2.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.negatives.block import CandidateBlock, Mask
from services.negatives.filters.filter import CE, REQUIRED, Alias, Arguments, Filter, Parameter, Sources
from services.negatives.filters.values import number

Floats = npt.NDArray[np.floating]
COSINE = "cosine:"
_SIGMOID = "sigmoid"


def _share(text: str) -> float:
    value = number(text)
    if not 0 < value <= 1:
        raise ValueError(f"'{text}' is no share above 0 and up to 1, such as .95")
    return value


def _score(text: str) -> str:
    if text == _SIGMOID or text.removeprefix(COSINE) not in ("", text):
        return text
    raw = " (raw logits have no zero, so no share of them means anything)" if text in (CE, "ce_score") else ""
    raise ValueError(f"'{text}' is no score that a share can be taken of: cosine:SYSTEM or sigmoid{raw}")


def _prepare(arguments: Arguments, sources: Sources) -> Arguments:
    if arguments["score"] == _SIGMOID:
        return arguments
    system = sources.registry.retrieving(arguments["score"].removeprefix(COSINE))
    if not system.is_dense or system.similarity != "cosine":
        how = "a dot product, which has no upper bound" if system.encodes else "BM25"
        raise ValueError(f"'{system.name}' compares by {how}: name a system that compares by cosine")
    return {**arguments, "score": f"{COSINE}{system.name}"}


def _needs(arguments: Arguments) -> frozenset[str]:
    return frozenset({CE if arguments["score"] == _SIGMOID else arguments["score"]})


def _scores(block: CandidateBlock, arguments: Arguments) -> tuple[Floats, Floats]:
    """Of pairs, and per pair that of its query's lowest positive; NaN where there is none."""
    query, positives = block.pairs.query, block.positives
    if arguments["score"] == _SIGMOID:
        return _sigmoid(block.pairs.ce), _sigmoid(positives.lowest)[query]
    # A cosine below zero says "unrelated", as zero does.
    pairs, positive = (np.maximum(scores, 0) for scores in block.named_scores[arguments["score"]])
    return pairs, positives.lowest_of(positive)[query]


def _sigmoid(logits: Floats) -> Floats:
    return 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -700, 700)))


def _known(block: CandidateBlock, arguments: Arguments) -> Mask:
    pairs, bar = _scores(block, arguments)
    known: Mask = ~np.isnan(pairs) & ~np.isnan(bar)
    return known[block.pair]


def _keep(block: CandidateBlock, kept: Mask, arguments: Arguments) -> Mask:
    pairs, bar = _scores(block, arguments)
    below: Mask = kept & (pairs < arguments["share"] * bar)[block.pair]
    return below


PERCENT_OF_POSITIVE = Filter(
    name="percent-of-positive",
    help="Scores below a share of the lowest positive's.",
    parameters=(
        Parameter("share", "above 0, up to 1; default: .95", _share, 0.95),
        Parameter("score", "cosine:SYSTEM (from stored vectors) or sigmoid (of the cross-encoder's)", _score,
                  REQUIRED),
    ),
    keep=_keep,
    needs=_needs,
    prepare=_prepare,
    known=_known,
    aliases={"relative_margin": Alias("share", lambda text: f"{1 - number(text):.12g}", "1 - share")},
    example="percent-of-positive=.95,score=sigmoid",
)  # fmt: skip
