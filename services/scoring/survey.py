"""How much there is to score: counted, and weighed by a sample, before anything is computed."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from services.collections.collection import Ords
from services.scoring.ragged import Index
from services.scoring.scorer import Scorer
from services.scoring.scores import Scores
from services.scoring.select import Wanted, to_do
from services.scoring.tokenizer import PairTokenizer
from services.scoring.tokens import TokenCache

_SAMPLE = 512
_PROBE_SECONDS = 4.0
_PROBE_PAIRS = 64


@dataclass(frozen=True)
class Survey:
    """What is asked for and what of it is left.

    Attributes:
        asked: Pairs as systems and positives name them.
        unique: Distinct ones.
        left: int64 [queries], those of each query that are to be scored.
        qords: Of a sample of the pairs to be scored, spread over all of them; likewise `ords`.
    """

    asked: int
    unique: int
    left: Index
    qords: Ords
    ords: Ords

    @property
    def todo(self) -> int:
        """Pairs that are to be scored."""
        return int(self.left.sum())

    @classmethod
    def of(cls, wanted: Wanted, scores: Scores | None) -> Survey:
        """Look at every pair. `scores`: those that there are; None where all shall be scored anew."""
        asked = unique = 0
        left = np.zeros(len(wanted.qords), np.int64)
        sample: list[tuple[Ords, Ords]] = [(np.empty(0, np.int32), np.empty(0, np.int32))]
        for pairs in wanted.blocks():
            asked, unique = asked + pairs.asked, unique + len(pairs.ords)
            rows = np.flatnonzero(to_do(pairs, scores))
            left += np.bincount(pairs.query[rows], minlength=len(left))
            sample.append((pairs.qords[rows], pairs.ords[rows]))
            if len(sample) > 2:  # a share of every block, so that the sample stays small
                sample = [sample[0], _spread(sample[1:], 64 * _SAMPLE)]
        qords, ords = _spread(sample, _SAMPLE)
        return cls(asked, unique, left, qords, ords)

    def tokens(self, wanted: Wanted, tokenizer: PairTokenizer) -> float:
        """Tokens of a pair, on average over the sample."""
        if not len(self.qords):
            return 1.0
        cache = TokenCache(wanted.collection, tokenizer, whole=False)
        of_queries, q = np.unique(self.qords.astype(np.int64), return_inverse=True)
        of_passages, p = np.unique(self.ords.astype(np.int64), return_inverse=True)
        queries, passages = cache.of("queries", of_queries), cache.of("passages", of_passages)
        layout = tokenizer.layout
        return float(layout.totals(layout.truncated(queries.lengths[q], passages.lengths[p])).mean())


def _spread(parts: list[tuple[Ords, Ords]], most: int) -> tuple[Ords, Ords]:
    """At most so many of the pairs, evenly over all."""
    qords = np.concatenate([qords for qords, _ in parts])
    ords = np.concatenate([ords for _, ords in parts])
    places = np.unique(np.linspace(0, len(qords) - 1, min(most, len(qords))).astype(np.int64))
    return qords[places], ords[places]


def measured_speed(wanted: Wanted, scorer: Scorer, survey: Survey) -> float | None:
    """Tokens per second that the model takes here, from a few seconds' work; None where nothing is left.

    The first pairs are computed twice, as a model's first blocks are slower than all later ones.
    """
    if not len(survey.qords):
        return None
    order = np.random.default_rng(0).permutation(len(survey.qords))
    turns = [order[lo : lo + _PROBE_PAIRS] for lo in range(0, len(order), _PROBE_PAIRS)]
    scorer.pairs(wanted.collection, survey.qords[turns[0]], survey.ords[turns[0]])
    tokens, seconds, began = 0, 0.0, time.monotonic()
    for turn in turns:
        scored = scorer.pairs(wanted.collection, survey.qords[turn], survey.ords[turn])
        tokens, seconds = tokens + scored.tokens, seconds + scored.seconds
        if time.monotonic() - began > _PROBE_SECONDS:
            break
    return tokens / max(seconds, 1e-9)
