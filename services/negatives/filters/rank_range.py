"""Keep what a system ranked within a range; the shallowest ranks are where unlabelled positives are."""

from __future__ import annotations

from services.negatives.block import CandidateBlock, Mask
from services.negatives.filters.filter import REQUIRED, Arguments, Filter, Parameter


def _range(text: str) -> tuple[int, int]:
    first, colon, last = text.partition(":")
    try:
        lo, hi = int(first), int(last)
    except ValueError:
        raise ValueError(f"'{text}' is no range of ranks such as 1:30") from None
    if not colon or lo < 1 or hi < lo:
        raise ValueError(
            f"'{text}' is no range of ranks: ranks begin at 1, and the first is not above the last"
        )
    return lo, hi


def _keep(block: CandidateBlock, kept: Mask, arguments: Arguments) -> Mask:
    lo, hi = arguments["range"]
    inside: Mask = kept & (block.rank >= lo) & (block.rank <= hi)
    return inside


RANK_RANGE = Filter(
    name="rank-range",
    help="Ranks FIRST:LAST of the system, 1-based and inclusive, before anything was left out.",
    parameters=(Parameter("range", "FIRST:LAST, such as 1:30", _range, REQUIRED, "range_min, range_max"),),
    keep=_keep,
)
