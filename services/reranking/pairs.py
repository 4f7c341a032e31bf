"""The pairs of some lists that are to be scored: by position in a collection, or by their own texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.collections.collection import Collection
from services.mining.ranking import Ords
from services.reranking.given import GivenList

Index = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

BATCH = 4096
"""Pairs that are scored together, and after which a killed rerank goes on; more where one query has more."""


@dataclass(frozen=True)
class Pairs:
    """The heads of some lists, one after the other.

    Attributes:
        lists: Whole.
        heads: How many of each list are to be scored.
    """

    lists: Sequence[GivenList]
    heads: Sequence[int]

    @classmethod
    def of(cls, lists: Sequence[GivenList], depth: int | None) -> Pairs:
        """The first `depth` of each list; None: all."""
        return cls(lists, [min(len(one.pids), depth or len(one.pids)) for one in lists])

    def __len__(self) -> int:
        return sum(self.heads)

    @cached_property
    def query(self) -> Index:
        """Per pair, the position of its list."""
        return np.repeat(np.arange(len(self.lists)), self.heads)

    @cached_property
    def pids(self) -> list[str]:
        """Per pair, the passage."""
        return [pid for one, head in zip(self.lists, self.heads, strict=True) for pid in one.pids[:head]]

    def name(self, pair: int) -> str:
        """A pair, for messages."""
        return f"query '{self.lists[int(self.query[pair])].qid}', passage '{self.pids[pair]}'"


def batches(lists: Iterable[GivenList], depth: int | None) -> Iterator[Pairs]:
    """Whole lists, together about `BATCH` pairs to score; always cut alike."""
    pending: list[GivenList] = []
    size = 0
    for one in lists:
        pending.append(one)
        size += min(len(one.pids), depth or len(one.pids))
        if size >= BATCH:
            yield Pairs.of(pending, depth)
            pending, size = [], 0
    if pending:
        yield Pairs.of(pending, depth)


class Known:
    """Pairs that a collection knows.

    Args:
        collection: Gives ids their positions and texts.
        pairs: By ids.

    Attributes:
        qords: Per pair; below zero: the collection does not have the query.
        ords: Per pair; below zero: it does not have the passage.
    """

    def __init__(self, collection: Collection, pairs: Pairs) -> None:
        self.collection = collection
        self.of_lists: Ords = collection.qords_of([one.qid for one in pairs.lists])
        self.qords: Ords = self.of_lists[pairs.query]
        self.ords: Ords = collection.ords_of(pairs.pids)

    @property
    def mask(self) -> Mask:
        """Per pair, whether query and passage are known."""
        known: Mask = (self.qords >= 0) & (self.ords >= 0)
        return known


@dataclass(frozen=True)
class Texts:
    """Distinct texts and which of them each pair consists of.

    Attributes:
        q: int64 [pairs], position in `queries`.
        p: int64 [pairs], position in `passages`.
    """

    queries: list[str]
    passages: list[str]
    q: Index
    p: Index

    @classmethod
    def of_file(cls, pairs: Pairs) -> Texts:
        """As the file brings them."""
        queries = [one.query or "" for one in pairs.lists]
        places: dict[str, int] = {}
        heads = zip(pairs.lists, pairs.heads, strict=True)
        p = [places.setdefault(text, len(places)) for one, n in heads for text in (one.texts or [])[:n]]
        return cls(queries, list(places), pairs.query, np.array(p, np.int64))

    @classmethod
    def of_collection(cls, collection: Collection, qords: Ords, ords: Ords) -> Texts:
        """As the collection has them; all positions are known."""
        of_queries, q = np.unique(qords, return_inverse=True)
        of_passages, p = np.unique(ords, return_inverse=True)
        queries: list[str] = []
        if len(of_queries):
            lo = int(of_queries[0])
            table = collection.read_queries(lo, int(of_queries[-1]) + 1, ["text"])
            queries = table["text"].take(pa.array(of_queries - lo)).to_pylist()
        return cls(queries, collection.texts_of(of_passages), q, p)
