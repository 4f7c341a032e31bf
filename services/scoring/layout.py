"""How the ids of a query and of a passage become one row of tokens: special tokens, truncation, padding.

Everything is arithmetic on lengths and copies of ranges, a block of rows at a time: transformers' own way
(a Python list per pair, then tensors) makes about 4,000 pairs a second, which a GPU overtakes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.scoring.ragged import Ids, Index, Ragged

Tokens = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Lengths:
    """Tokens of query, middle and passage that are left of each pair after truncation."""

    query: Index
    middle: Index
    passage: Index


@dataclass(frozen=True)
class Segment:
    """Fixed tokens of a pair, with their token types."""

    ids: Ids
    types: Ids

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Layout:
    """prefix, query, middle, passage, suffix.

    Attributes:
        max_length: Tokens of all five together.
        query_type: Token type of the query; likewise `passage_type`.
        cut_end: Too long a text is cut at its end, before the suffix, as a decoder's template wants it;
            else the longer of the two texts is cut first (`longest_first`).
        pad: The padding token.
        pad_left: Whether padding comes first, so that every row ends at the same place.
        has_types: Whether the model is given token types.
    """

    prefix: Segment
    middle: Segment
    suffix: Segment
    max_length: int
    pad: int
    query_type: int = 0
    passage_type: int = 0
    cut_end: bool = False
    pad_left: bool = False
    has_types: bool = False

    @property
    def room(self) -> int:
        """Tokens that are left for the texts; for a decoder, the middle included."""
        return (
            self.max_length - len(self.prefix) - len(self.suffix) - (0 if self.cut_end else len(self.middle))
        )

    def truncated(self, query: Index, passage: Index) -> Lengths:
        """What is left of texts that had so many tokens."""
        middle = np.full(len(query), len(self.middle), np.int64)
        if not self.cut_end:
            query, passage = longest_first(query, passage, self.room)
            return Lengths(query, middle, passage)
        query = np.minimum(query, self.room)
        middle = np.minimum(middle, self.room - query)
        return Lengths(query, middle, np.minimum(passage, self.room - query - middle))

    def totals(self, lengths: Lengths) -> Index:
        """Tokens of each pair."""
        return lengths.query + lengths.middle + lengths.passage + len(self.prefix) + len(self.suffix)

    def rows(
        self, queries: Ragged, passages: Ragged, q: Index, p: Index, lengths: Lengths, count: int, width: int
    ) -> tuple[Tokens, Tokens, Tokens | None]:
        """Ids, mask and (if the model wants them) types of some pairs, each int64 [count, width].

        Args:
            queries: Ids of queries.
            passages: Ids of passages.
            q: Per pair, the position of its query.
            p: Per pair, the position of its passage.
            lengths: Of these pairs.
            count: Rows; those beyond the pairs repeat the last one.
            width: Tokens of a row.
        """
        ids = np.full((len(q), width), self.pad, np.int64)
        types = np.zeros((len(q), width), np.int64)
        totals = self.totals(lengths)
        at = width - totals if self.pad_left else np.zeros(len(q), np.int64)
        mask = _between(at, totals, width)
        for source, starts, sizes, kind in self._segments(queries, passages, q, p, lengths):
            inside = _between(at, sizes, width)
            places = (np.arange(width) - at[:, None] + starts[:, None])[inside]
            ids[inside] = source[places]
            types[inside] = kind if isinstance(kind, int) else kind[places]
            at = at + sizes
        repeat = np.minimum(np.arange(count), len(q) - 1)
        shown = (ids[repeat], mask.astype(np.int64)[repeat], types[repeat])
        return (*shown[:2], shown[2] if self.has_types else None)

    def _segments(
        self, queries: Ragged, passages: Ragged, q: Index, p: Index, lengths: Lengths
    ) -> list[tuple[npt.NDArray[np.integer], Index, Index, Ids | int]]:
        """Ids to copy from, where each row's begin, how many, and their types."""
        start = np.zeros(len(q), np.int64)

        def fixed(segment: Segment) -> tuple[npt.NDArray[np.integer], Index, Index, Ids | int]:
            return segment.ids, start, np.full(len(q), len(segment), np.int64), segment.types

        return [
            fixed(self.prefix),
            (queries.ids, queries.starts[q], lengths.query, self.query_type),
            (self.middle.ids, start, lengths.middle, self.middle.types),
            (passages.ids, passages.starts[p], lengths.passage, self.passage_type),
            fixed(self.suffix),
        ]


def longest_first(first: Index, second: Index, room: int) -> tuple[Index, Index]:
    """How many tokens of two texts are left within `room`, as the tokenizers library cuts `longest_first`.

    The longer one is cut down to what the shorter one leaves, but not below half of the room; where both
    are longer than that, each has half, and an odd token goes to the longer (of equals, to the second).
    """
    shorter = np.minimum(first, second)
    fits = first + second <= room
    left = np.maximum(shorter, room - shorter)
    halved = shorter + left > room
    shorter_left = np.where(halved, room // 2, shorter)
    longer_left = np.where(halved, room - room // 2, left)
    swapped = first > second
    one = np.where(swapped, longer_left, shorter_left)
    other = np.where(swapped, shorter_left, longer_left)
    return np.where(fits, first, one), np.where(fits, second, other)


def _between(start: Index, size: Index, width: int) -> npt.NDArray[np.bool_]:
    """Per row, the columns `start <= c < start + size`."""
    columns = np.arange(width)
    inside: npt.NDArray[np.bool_] = (columns >= start[:, None]) & (columns < (start + size)[:, None])
    return inside
