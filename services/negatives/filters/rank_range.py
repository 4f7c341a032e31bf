"""Keep what a system ranked within a range; the shallowest ranks are where unlabelled positives are."""

from __future__ import annotations

from services.negatives.block import CandidateBlock, Mask
from services.negatives.filters.filter import REQUIRED, Alias, Arguments, Filter, Parameter
from services.negatives.filters.values import count, span


def _behind(text: str) -> str:
    return f"{1 if text.strip() == '0' else count(text) + 1}:"


def _keep(block: CandidateBlock, kept: Mask, arguments: Arguments) -> Mask:
    inside: Mask = kept & arguments["range"].holds(block.rank)
    return inside


RANK_RANGE = Filter(
    name="rank-range",
    help="Ranks FIRST:LAST of the system, before anything was left out.",
    parameters=(
        Parameter("range", "ranks from 1 on, both ends included; one may be empty", span(count), REQUIRED),
    ),
    keep=_keep,
    aliases={
        "range_min": Alias("range", _behind, "skips the first N ranks"),
        "range_max": Alias("range", lambda text: f":{count(text)}", "the last rank"),
    },
    example="rank-range=1:30",
)
