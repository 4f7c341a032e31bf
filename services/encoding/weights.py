"""Term weights of texts: what a sparse encoder makes, in place of a vector."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Weights:
    """Sparse rows over a vocabulary. Row n is `starts[n]` to `starts[n + 1]` of `terms` and `values`.

    Attributes:
        starts: int64 [rows + 1], the first is 0.
        terms: Token ids, int32, ascending in each row.
        values: float32, positive; NaN only where a model gave it.
        dim: Size of the vocabulary; terms are below it.
    """

    starts: npt.NDArray[np.int64]
    terms: npt.NDArray[np.int32]
    values: Floats
    dim: int

    @classmethod
    def of_dense(cls, matrix: Floats) -> Weights:
        """What is not zero of float32 [rows, dim]. NaN is not zero."""
        rows, terms = np.nonzero(matrix)
        starts = np.zeros(len(matrix) + 1, np.int64)
        np.cumsum(np.bincount(rows, minlength=len(matrix)), out=starts[1:])
        return cls(starts, terms.astype(np.int32), matrix[rows, terms], matrix.shape[1])

    @classmethod
    def joined(cls, pieces: Sequence[Weights], dim: int) -> Weights:
        """Rows of several, after each other."""
        lengths = np.concatenate([np.zeros(1, np.int64), *(piece.lengths for piece in pieces)])
        return cls(
            np.cumsum(lengths),
            np.concatenate([np.empty(0, np.int32), *(piece.terms for piece in pieces)]),
            np.concatenate([np.empty(0, np.float32), *(piece.values for piece in pieces)]),
            dim,
        )

    @classmethod
    def load(cls, path: Path) -> Weights:
        """What `save` wrote.

        Raises:
            OSError, ValueError: it is something else.
        """
        try:
            with np.load(path, allow_pickle=False) as read:
                starts, terms, values = (read[name] for name in ("starts", "terms", "values"))
                found = cls(starts, terms, values, int(read["dim"]))
        # What numpy and zipfile raise where bytes are not those that were written.
        except (BadZipFile, EOFError, KeyError, NotImplementedError, TypeError, zlib.error) as error:
            raise ValueError(f"no part of term weights: {error}") from error
        return found.checked()

    def checked(self) -> Weights:
        """The same, which came from outside. ValueError where it is not what it should be."""
        kinds = [f"{array.dtype}[{array.ndim}]" for array in (self.starts, self.terms, self.values)]
        if kinds != ["int64[1]", "int32[1]", "float32[1]"] or not len(self.starts):
            raise ValueError(f"its arrays are {', '.join(kinds)}")
        rows = self.lengths
        if self.starts[0] or (rows < 0).any() or not self.starts[-1] == len(self.terms) == len(self.values):
            raise ValueError("its rows do not fit its terms")
        if len(self.terms) and not 0 <= self.terms.min() <= self.terms.max() < self.dim:
            raise ValueError(f"a term is beyond the vocabulary of {self.dim}")
        ascends = np.diff(self.terms) > 0
        firsts = self.starts[1:-1]
        ascends[firsts[(firsts > 0) & (firsts < len(self.terms))] - 1] = True  # of another row
        if not ascends.all():
            raise ValueError("the terms of a row do not ascend")
        if not ((self.values > 0) & (self.values < np.inf)).all():
            raise ValueError("a weight is not positive")
        return self

    def save(self, stream: IO[bytes]) -> None:
        """As .npz, the same bytes for the same rows."""
        np.savez(stream, starts=self.starts, terms=self.terms, values=self.values, dim=np.int64(self.dim))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Terms of each row, int64 [rows]; 0 where a text could not be encoded."""
        return np.diff(self.starts)

    @property
    def finite(self) -> npt.NDArray[np.bool_]:
        """Whether all values of a row are numbers, bool [rows]."""
        rows = np.repeat(np.arange(len(self)), self.lengths)
        good = np.ones(len(self), np.bool_)
        good[rows[~np.isfinite(self.values)]] = False
        return good

    def take(self, rows: npt.NDArray[np.integer]) -> Weights:
        """Some rows, in the order given."""
        lengths = self.lengths[rows]
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        places = np.repeat(self.starts[:-1][rows] - starts[:-1], lengths) + np.arange(starts[-1])
        return Weights(starts, self.terms[places], self.values[places], self.dim)

    def part(self, lo: int, hi: int) -> Weights:
        """Rows `lo` to `hi`, without copying their values."""
        starts = self.starts[lo : hi + 1]
        inside = slice(int(starts[0]), int(starts[-1]))
        return Weights(starts - starts[0], self.terms[inside], self.values[inside], self.dim)

    def dense(self) -> Floats:
        """The same as float32 [rows, dim]: of a few rows, it is large."""
        matrix = np.zeros((len(self), self.dim), np.float32)
        matrix[np.repeat(np.arange(len(self)), self.lengths), self.terms] = self.values
        return matrix

    def by_term(self, n: int) -> dict[str, float]:
        """Row n as Elasticsearch takes it: weight by token id."""
        row = slice(int(self.starts[n]), int(self.starts[n + 1]))
        return dict(zip(map(str, self.terms[row].tolist()), self.values[row].tolist(), strict=True))
