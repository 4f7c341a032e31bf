"""Lucene's BM25 from its formula, apart from the product: what the tests compare Elasticsearch with.

    score(q, d) = sum over q's tokens of  idf(t) * (k1 + 1) * tf / (tf + k1 * (1 - b + b * dl / avgdl))
    idf(t)      = ln(1 + (N - n + .5) / (n + .5))

`dl` is the passage's length as Lucene keeps it, rounded to one byte by `SmallFloat.intToByte4`; `avgdl` is
exact. Elasticsearch keeps the factor k1 + 1 that Lucene dropped in version 8.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

K1, B = 0.82, 0.68


def _small(n: int) -> int:
    """Lucene's SmallFloat.longToInt4: four significant bits and an exponent."""
    bits = n.bit_length()
    if bits < 4:
        return n
    shift = bits - 4
    return ((n >> shift) & 0x07) | ((shift + 1) << 3)


def _large(code: int) -> int:
    """SmallFloat.int4ToLong, its inverse on what can be kept."""
    bits, shift = code & 0x07, (code >> 3) - 1
    return bits if shift == -1 else (bits | 0x08) << shift


_FREE = 255 - _small(2**31 - 1)


def kept_length(tokens: int) -> int:
    """What Lucene remembers of a length: exact up to 39, then coarser."""
    return tokens if tokens < _FREE else _FREE + _large(_small(tokens - _FREE))


class Bm25:
    """Scores of a fixed set of passages, given as tokens."""

    def __init__(self, passages: Sequence[Sequence[str]]) -> None:
        self.size = len(passages)
        exact = np.array([len(tokens) for tokens in passages], np.float64)
        kept = np.array([kept_length(len(tokens)) for tokens in passages], np.float64)
        self._norm = K1 * (1 - B + B * kept / exact.mean())
        self._postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for row, tokens in enumerate(passages):
            for token, count in Counter(tokens).items():
                self._postings[token].append((row, count))

    def scores(self, query: Sequence[str]) -> npt.NDArray[np.float64]:
        """Float64 [passages]; 0 where no token is shared. A token that the query repeats counts each time."""
        total = np.zeros(self.size)
        for token in query:
            if token in self._postings:
                rows, counts = np.array(self._postings[token]).T
                idf = np.log(1 + (self.size - len(rows) + 0.5) / (len(rows) + 0.5))
                total[rows] += idf * (K1 + 1) * counts / (counts + self._norm[rows])
        return total
