"""Token ids of many texts in one flat array."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]
Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ragged:
    """Texts as token ids, each cut at some length.

    Attributes:
        ids: Those of text `n` are `ids[starts[n]:starts[n + 1]]`.
        starts: int64 [texts + 1].
        lengths: int64 [texts], tokens of each text before it was cut: which of two texts is the longer
            one decides how a pair is truncated.
    """

    ids: npt.NDArray[np.integer]
    starts: Index
    lengths: Index

    def __len__(self) -> int:
        return len(self.lengths)

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], most: int) -> Ragged:
        """The first `most` ids of each row."""
        flat = [np.asarray(row[:most], np.int32) for row in rows]
        lengths = np.array([len(row) for row in rows], np.int64)
        return cls(
            np.concatenate([np.empty(0, np.int32), *flat]), _starts(np.minimum(lengths, most)), lengths
        )

    @classmethod
    def joined(cls, several: Iterable[Ragged]) -> Ragged:
        """The texts of several, one after the other."""
        parts = list(several)
        none = np.empty(0, np.int64)
        sizes = np.concatenate([none, *(np.diff(part.starts) for part in parts)])
        ids = [part.ids[part.starts[0] : part.starts[-1]].astype(np.int32) for part in parts]
        lengths = np.concatenate([none, *(part.lengths for part in parts)])
        return cls(np.concatenate([np.empty(0, np.int32), *ids]), _starts(sizes), lengths)

    def take(self, rows: Index) -> Ragged:
        """Some texts, in the order given."""
        sizes = np.diff(self.starts)[rows]
        starts = _starts(sizes)
        places = np.arange(starts[-1]) - np.repeat(starts[:-1] - self.starts[rows], sizes)
        return Ragged(self.ids[places].astype(np.int32), starts, self.lengths[rows])


def _starts(sizes: Index) -> Index:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])
