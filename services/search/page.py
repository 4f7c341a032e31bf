"""How deep the legs are asked for a page of hits, and the page cut from the ranking."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.search.ask import Ask, Fused, Ranked, Timing
from services.search.failures import Failure
from services.search.legs import Lexical
from services.search.rerank import Head, final_order

_DEPTHS = (100, 1_000, 10_000)
"""Few steps: a fused ranking depends on how deep the legs went, and pages shall be pieces of one ranking."""


def depth_for(ask: Ask) -> int:
    """Candidates that every leg brings."""
    if ask.depth is not None:
        return ask.depth
    end = max(ask.start + ask.size, ask.rerank.window if ask.rerank else 0)
    if len(ask.legs) == 1 and isinstance(ask.legs[0], Lexical):
        return end  # nothing is fused, and a longer list begins with the shorter one
    return next((depth for depth in _DEPTHS if depth >= end), _DEPTHS[-1])


def page(
    ask: Ask,
    fused: Fused,
    head: Head,
    failures: Sequence[Failure],
    timing: Timing,
) -> Ranked:
    """The hits from `start` on, and all that is to be told of them."""
    places, scores, ce_scores = final_order(fused, head.ce)
    cut = slice(ask.start, ask.start + ask.size)
    told = [*failures, *([head.failure] if head.failure else [])]
    several = len(fused.candidates.legs) > 1
    return Ranked(
        ords=fused.ords[places[cut]],
        scores=scores[cut],
        places=places[cut],
        ce_scores=ce_scores[cut],
        start=ask.start,
        fused=fused,
        method=ask.fusion.name if several else None,
        params=ask.params if several else {},
        reranked=int((~np.isnan(head.ce)).sum()),
        degraded=tuple(dict.fromkeys(map(str, told))),
        notes=tuple(dict.fromkeys(failure.note for failure in told)),
        sources=head.sources,
        timing=timing,
    )
