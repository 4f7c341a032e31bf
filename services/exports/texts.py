"""Passages and queries of a whole collection as outputs: what a script needs besides ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from services.collections.collection import Collection
from services.exports.format import Content, Counts, Encoded, Output


def passages(
    collection: Collection, name: str, encode: Callable[[pa.Table], Content], *, table: bool = False
) -> Output:
    """The live passages, in order; `encode` gets rows with ord, pid, title, text and `meta.<field>`."""

    def read(lo: int, hi: int) -> pa.Table:
        return collection.read_passages(lo, hi).filter(pa.array(collection.live[lo:hi]))

    return _output(name, collection.passage_ranges, read, encode, table)


def queries(
    collection: Collection, name: str, encode: Callable[[pa.Table], Content], *, table: bool = False
) -> Output:
    """The live queries of all splits, in order; `encode` gets rows with qord, qid, text."""

    def read(lo: int, hi: int) -> pa.Table:
        return collection.read_queries(lo, hi).filter(pa.array(collection.live_queries[lo:hi]))

    return _output(name, collection.query_ranges, read, encode, table)


def ids(collection: Collection, name: str) -> Output:
    """A table of what the numbers of a `-ids` subset mean: kind (passage, query), ord, id."""
    ranges = [
        (kind, lo, hi)
        for kind, some in (("passage", collection.passage_ranges), ("query", collection.query_ranges))
        for lo, hi in some
    ]

    def encode(n: int) -> Encoded:
        kind, lo, hi = ranges[n]
        found, live = (
            (collection.pids.slice(lo, hi - lo).cast(pa.string()).combine_chunks(), collection.live)
            if kind == "passage"
            else (pa.array(collection.qids[lo:hi], pa.string()), collection.live_queries)
        )
        ords = pa.array(np.arange(lo, hi))
        # A text that changed has a new number under its old id.
        rows = pa.table({"kind": [kind] * (hi - lo), "ord": ords, "id": found}).filter(pa.array(live[lo:hi]))
        return Encoded(rows, Counts(rows=len(rows)))

    return Output(name, [hi - lo for _, lo, hi in ranges], encode, table=True)


def typed_ids(collection: Collection, ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Ids as integers where all ids of the collection are."""
    return ids.cast(pa.int64()) if collection.state.integer_ids else ids


def _output(
    name: str,
    ranges: Sequence[tuple[int, int]],
    read: Callable[[int, int], pa.Table],
    encode: Callable[[pa.Table], Content],
    table: bool,
) -> Output:
    def encoded(n: int) -> Encoded:
        rows = read(*ranges[n])
        return Encoded(encode(rows), Counts(rows=len(rows)))

    return Output(name, [hi - lo for lo, hi in ranges], encoded, table)
