"""How much there is to score: counted, and weighed by a sample, before anything is computed."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from services.collections.collection import Ords
from services.encoding.shards import TableName
from services.meter import pace
from services.scoring.ragged import Index
from services.scoring.scorer import Scorer
from services.scoring.scores import Mask, Scores
from services.scoring.select import Wanted, to_do
from services.scoring.tokenizer import PairTokenizer
from services.scoring.tokens import TokenCache

_SAMPLE = 512
_TEXTS = 256


@dataclass(frozen=True)
class Survey:
    """What is asked for and what of it is left.

    Attributes:
        asked: Pairs as systems and positives name them.
        unique: Distinct ones.
        left: int64 [queries], those of each query that are to be scored.
        passages: bool [passages], which of them are in a pair that is to be scored.
        qords: Of a sample of the pairs to be scored, spread evenly over all of them.
        ords: Likewise.
        seconds: That it took to look at every pair.
    """

    asked: int
    unique: int
    left: Index
    passages: Mask
    qords: Ords
    ords: Ords
    seconds: float

    @property
    def todo(self) -> int:
        """Pairs that are to be scored."""
        return int(self.left.sum())

    @classmethod
    def of(cls, wanted: Wanted, scores: Scores | None) -> Survey:
        """Look at every pair.

        Args:
            wanted: The pairs.
            scores: Those that there are; None where all shall be scored anew.
        """
        began = time.perf_counter()
        asked = unique = 0
        passages = np.zeros(wanted.collection.passage_count, np.bool_)
        left = np.zeros(len(wanted.qords), np.int64)
        sample = np.empty((2, 0), np.int32)
        step = 1  # every so many-th pair is in the sample
        for pairs in wanted.blocks():
            asked, unique = asked + pairs.asked, unique + len(pairs.ords)
            rows = np.flatnonzero(to_do(pairs, scores))
            taken = rows[-int(left.sum()) % step :: step]
            left += np.bincount(pairs.query[rows], minlength=len(left))
            passages[pairs.ords[rows]] = True
            sample = np.concatenate([sample, [pairs.qords[taken], pairs.ords[taken]]], axis=1)
            while sample.shape[1] > 2 * _SAMPLE:
                sample, step = sample[:, ::2], 2 * step
        return cls(asked, unique, left, passages, sample[0], sample[1], time.perf_counter() - began)

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


@dataclass(frozen=True)
class Pace:
    """Seconds that scoring takes here: of the model per token, of the tokenizer for all that lack ids."""

    token: float
    texts: float


def measured(wanted: Wanted, scorer: Scorer, survey: Survey) -> Pace:
    """The pace of a few seconds' work on the survey's sample, which keeps nothing.

    Args:
        wanted: The pairs.
        scorer: The model.
        survey: At least one pair is to be scored.
    """
    cache = TokenCache(wanted.collection, scorer.engine.tokenizer, whole=False)
    order = np.random.default_rng(0).permutation(len(survey.qords))
    of_queries, q = np.unique(survey.qords[order].astype(np.int64), return_inverse=True)
    of_passages, p = np.unique(survey.ords[order].astype(np.int64), return_inverse=True)
    queries, passages = cache.of("queries", of_queries), cache.of("passages", of_passages)

    def score(lo: int, hi: int) -> float:
        return scorer.engine.score(queries, passages, q[lo:hi], p[lo:hi], fill=False).tokens

    def tokenising(table: TableName, all_rows: Index, sample: Index) -> float:
        def tokenise(lo: int, hi: int) -> float:
            return len(cache.made(table, sample[lo:hi]))

        missing = cache.missing(table, all_rows)
        return missing * pace(len(sample), tokenise, 1.0) if missing else 0.0

    texts = tokenising("queries", wanted.qords[survey.left > 0].astype(np.int64), of_queries[:_TEXTS])
    texts += tokenising("passages", np.flatnonzero(survey.passages), of_passages[:_TEXTS])
    return Pace(pace(len(order), score), texts)
