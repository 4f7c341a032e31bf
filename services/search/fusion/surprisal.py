"""Fusion by surprisal: how hardly would a random passage have scored so, in every leg?

A leg's score is turned into nats: minus the logarithm of the chance that a passage picked at random scores
as high. BM25 is that already: an inverse document frequency is minus the logarithm of the chance to meet the
term (Robertson: Understanding inverse document frequency, Journal of Documentation 2004), and BM25 adds them
up. A similarity is set against a normal distribution with the mean and the deviation of a random sample of
the passages. Both take terms or dimensions for independent, so they are brought half-way to what the list
shows: its r-th of N passages has ln((N + 1) / r) nats.

The best of N random passages reaches ln N, so only what is beyond it counts: T ln(1 + exp((s - ln N) / T))
is, tempered by T, minus the logarithm of the chance that the passage is *not* relevant, for prior odds of
1 / N, and the sum over the legs is the noisy or (Pearl 1988) of what they say. Nothing is scaled by the
query's own best: a leg that found nothing out of the ordinary says nothing, and one that is sure is heard.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from services.search.fusion.base import Candidates, Floats, Fusion, Leg, Param, shares

TEMPERATURE = 3.0
"""Allows for legs that are surer than they should be; anything from 1 to 4 does (docs/fusion.md)."""
OBSERVED = 10
"""The place of the list that is compared: deep enough not to be the answer itself."""
_FEWEST = 8
"""Sampled passages from which a mean and a deviation are taken."""
_FAR = 25.0
"""Deviations beyond which the normal distribution's tail is below what a float holds."""
_upper_tail = np.frompyfunc(lambda z: 0.5 * math.erfc(z / math.sqrt(2)), 1, 1)

Ranks = npt.NDArray[np.int32]


class Surprisal(Fusion):
    """The best method without labels on our collections, and the one that bad legs harm least."""

    name = "surprisal"
    help = "sum of the legs' evidence: how far a score is beyond that of the best of as many random passages"
    params = {"dense": Param(0.5, 0, 1, "weight of all legs but BM25 together; BM25 has the rest")}  # noqa: RUF012
    needs_scores = True
    needs_background = True

    def normalised(self, candidates: Candidates, params: Mapping[str, float]) -> Floats:
        """Evidence in nats; 0 is none."""
        columns = [_beyond_chance(candidates, n) for n in range(len(candidates.legs))]
        evidence: Floats = TEMPERATURE * np.logaddexp(0, np.column_stack(columns) / TEMPERATURE)
        return evidence

    def weights(self, legs: Sequence[Leg], params: Mapping[str, float]) -> Floats:
        """See `shares`."""
        return shares(legs, params["dense"])


def _beyond_chance(candidates: Candidates, n: int) -> Floats:
    """A leg's surprisal less that of the best of as many random passages, float64 [candidates]."""
    scores, ranks = candidates.scores[:, n], candidates.ranks[:, n]
    if candidates.background is None:
        return _by_the_list(scores, ranks)
    passages = max(candidates.background.passages, 1)
    if candidates.legs[n].scale == "bm25":
        return _observed(scores, ranks, passages) - math.log(passages)
    sampled = candidates.background.scores[n]
    deviation = float(sampled.std()) if len(sampled) >= _FEWEST else 0.0
    if deviation == 0:
        return _by_the_list(scores, ranks)
    expected = nats((scores - sampled.mean()) / deviation)
    return _observed(expected, ranks, passages) - math.log(passages)


def nats(deviations: Floats) -> Floats:
    """Minus the logarithm of the chance that a normal variable exceeds so many deviations."""
    near = np.minimum(deviations, _FAR)
    surprisal = -np.log(_upper_tail(near).astype(np.float64))
    further: Floats = surprisal + (deviations**2 - near**2) / 2
    return further


def _observed(expected: Floats, ranks: Ranks, passages: int) -> Floats:
    """Surprisal half-way (in its logarithm) to what the leg's own list shows."""
    place = min(OBSERVED, int(ranks.max(initial=0)))
    there = float(expected[ranks == place].min(initial=np.inf)) if place else 0.0
    if not 0 < there < np.inf:
        return expected
    factor = math.sqrt(math.log((passages + 1) / place) / there)
    return np.multiply(expected, factor)


def _by_the_list(scores: Floats, ranks: Ranks) -> Floats:
    """The same where nothing but the list is known: its tail is taken for exponential.

    The last of n listed passages shows ln(N / n) nats, and each mean excess over it one more: N cancels.
    """
    listed = scores[ranks > 0]
    if not len(listed):
        return np.full(len(scores), -np.inf)
    excess = scores - listed.min()
    mean = float(excess[ranks > 0].mean())
    beyond = excess / mean if mean > 0 else np.where(excess < 0, -np.inf, 0.0)
    return beyond - math.log(len(listed))
