"""From scores to a new order, and to the lines of a TREC run."""

from __future__ import annotations

import numpy as np

from services.mining.ranking import Scores
from services.reranking.given import GivenList

Ranked = list[tuple[str, float]]
"""Passages and their scores, best first; scores never rise."""


def reranked(given: GivenList, scores: Scores) -> Ranked:
    """The head by score, and below it all else in the order in which it was given.

    Equal scores are ordered as trec_eval orders them, the greater pid first, so that ranks and scores of
    the written run say the same. What has no score (NaN) comes after all that has one; the scores of
    these and of what lies beyond the head fall evenly below the lowest.

    Args:
        given: The list.
        scores: Of its head, float32.
    """
    known = np.flatnonzero(~np.isnan(scores)).tolist()
    best = sorted(((float(scores[n]), given.pids[n]) for n in known), reverse=True)
    scored = set(known)
    rest = [pid for n, pid in enumerate(given.pids) if n not in scored]
    lowest = best[-1][0] if best else 0.0
    step = max(1.0, abs(lowest) * 1e-6)
    return [(pid, score) for score, pid in best] + [(pid, lowest - n * step) for n, pid in enumerate(rest, 1)]


def lines(qid: str, ranked: Ranked, tag: str) -> str:
    """A list as lines of a TREC run. Nine digits are enough to tell all float32 apart."""
    return "".join(
        f"{qid} Q0 {pid} {rank} {score:.9g} {tag}\n" for rank, (pid, score) in enumerate(ranked, 1)
    )
