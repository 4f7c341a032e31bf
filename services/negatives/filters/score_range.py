"""Keep what a system scored within a range. Scores of different systems do not compare: one is named."""

from __future__ import annotations

import numpy as np

from services.negatives.block import CandidateBlock, Mask
from services.negatives.filters.filter import REQUIRED, Alias, Arguments, Filter, Parameter, Sources
from services.negatives.filters.values import number, span


def _prepare(arguments: Arguments, sources: Sources) -> Arguments:
    name = arguments["system"]
    if name is None and len(sources.systems) > 1:
        raise ValueError(
            "scores of different systems do not compare: add system=NAME, one of "
            + ", ".join(system.name for system in sources.systems)
        )
    system = sources.systems[0] if name is None else sources.read(name)
    return {**arguments, "system": system.name}


def _keep(block: CandidateBlock, kept: Mask, arguments: Arguments) -> Mask:
    places = [n for n, system in enumerate(block.systems) if system.name == arguments["system"]]
    of_another = ~np.isin(block.system, places)
    inside: Mask = kept & (of_another | arguments["range"].holds(block.score))
    return inside


SCORE_RANGE = Filter(
    name="score-range",
    help="Scores MIN:MAX of one system; the rows of other systems pass.",
    parameters=(
        Parameter(
            "range", "the system's own scores, both ends included; one may be empty", span(number), REQUIRED
        ),
        Parameter("system", "whose scores; default: the only system that is read", str),
    ),
    keep=_keep,
    prepare=_prepare,
    aliases={
        "max_score": Alias("range", lambda text: f":{number(text)!r}", "the highest score"),
        "min_score": Alias("range", lambda text: f"{number(text)!r}:", "the lowest score"),
    },
    example="score-range=:.8,system=all-MiniLM-L6-v2",
)
