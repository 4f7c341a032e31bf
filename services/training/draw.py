"""Draw negatives for positives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.negatives.block import CandidateBlock, Mask
from services.negatives.selection import Selection
from services.training.methods import Drawn


def draw(block: CandidateBlock, kept: Mask, selection: Selection, count: int, seed: Sequence[int]) -> Drawn:
    """For each positive of a block, `count` of its query's negatives at random, each at most once.

    Args:
        block: The queries.
        kept: Rows that are negatives.
        selection: Says which negatives may stand beside which positive.
        count: Negatives per positive.
        seed: Equal seeds draw equally.
    """
    pairs = block.merged(kept)
    query = block.pairs.query[pairs]
    starts = np.searchsorted(query, np.arange(len(block.qords) + 1))
    positives = block.positives
    each = np.diff(starts)[positives.query]
    positive = np.repeat(np.arange(len(positives.ords)), each)
    within = np.arange(len(positive)) - np.repeat(np.cumsum(each) - each, each)
    pair = pairs[starts[positives.query[positive]] + within]
    admitted = selection.admits(block, positive, pair)
    positive, pair = positive[admitted], pair[admitted]
    order = np.lexsort((np.random.default_rng(seed).random(len(pair)), positive))
    positive, pair = positive[order], pair[order]
    place = np.arange(len(positive)) - np.searchsorted(positive, positive)
    drawn = np.full((len(positives.ords), count), -1, np.int64)
    first = place < count
    drawn[positive[first], place[first]] = pair[first]
    return np.arange(len(positives.ords)), drawn
