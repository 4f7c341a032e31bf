"""How far below the positives candidates lie, in a cross-encoder's logits: what a margin is chosen from."""

from __future__ import annotations

import numpy as np

from services.scoring.scores import Scores
from services.scoring.select import Wanted

QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9)
_KEPT = 1 << 22


def margin_quantiles(wanted: Wanted, scores: Scores) -> dict[str, float]:
    """Quantiles of (lowest positive's score - candidate's score) over all candidates that are no positive.

    Above four million candidates of an evenly thinned part of them.

    Returns:
        By quantile in percent, such as `5%`; empty where no query has both scored.
    """
    found = [np.empty(0, np.float32)]
    step, kept = 1, 0
    for number, pairs in enumerate(wanted.blocks()):
        if number % step:
            continue
        ce = scores.of(pairs.qords, pairs.ords)
        positive = wanted.is_positive(pairs)
        lowest = np.full(len(wanted.qords), np.inf, np.float32)
        scored = positive & ~np.isnan(ce)
        np.minimum.at(lowest, pairs.query[scored], ce[scored])
        margins = (lowest[pairs.query] - ce)[~positive]
        found.append(margins[np.isfinite(margins)])
        kept += len(found[-1])
        if kept > _KEPT:
            found, step, kept = [np.concatenate(found)[::2]], step * 2, kept // 2
    margins = np.concatenate(found)
    if not len(margins):
        return {}
    values = np.quantile(margins, QUANTILES)
    return {f"{100 * q:g}%": round(float(v), 4) for q, v in zip(QUANTILES, values, strict=True)}
