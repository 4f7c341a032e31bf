"""What a build takes in Elasticsearch: seconds and bytes, from two small indices that are removed again.

A line through two sizes tells what each document costs apart from what every index costs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from elasticsearch import Elasticsearch

from services.elastic import bulk
from services.elastic.errors import translated
from services.elastic.report import size
from services.elastic.settle import settle

_BLOCK = 64
"""Documents that lie together: a sample takes such blocks from all over."""
_SMALL, _LARGE = 128, 4096
_SECONDS = 2.0

Stream = Callable[[int, int], Iterable[bulk.Document]]
"""The documents of a range of rows."""


@dataclass(frozen=True)
class Cost:
    """Of an index: seconds to load and merge it, bytes on disk."""

    seconds: float
    bytes: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.seconds + other.seconds, self.bytes + other.bytes)


def rehearse(
    client: Elasticsearch, index: str, body: dict[str, Any], stream: Stream, rows: int, senders: int
) -> Cost:
    """What an index with all rows costs.

    Args:
        client: With the right to create and delete the index.
        index: A name for the small ones; what an interrupted rehearsal left there is removed.
        body: Settings and mappings.
        stream: Makes the documents.
        rows: How many there are in all.
        senders: Threads that send.
    """
    if not rows:
        return Cost(0.0, 0.0)
    _built(client, index, body, stream, rows, _SMALL, senders)  # the first time is slower
    small = _built(client, index, body, stream, rows, _SMALL, senders)
    if rows <= _SMALL:
        return small
    many = min(max(int(_SMALL * _SECONDS / small.seconds), 4 * _SMALL), _LARGE, rows)
    large = _built(client, index, body, stream, rows, many, senders)
    more = (rows - _SMALL) / max(many - _SMALL, 1)
    return Cost(
        small.seconds + max(large.seconds - small.seconds, 0.0) * more,
        small.bytes + max(large.bytes - small.bytes, 0.0) * more,
    )


def _built(
    client: Elasticsearch,
    index: str,
    body: dict[str, Any],
    stream: Stream,
    rows: int,
    count: int,
    senders: int,
) -> Cost:
    """An index with some of the rows."""
    starts = np.linspace(0, max(rows - _BLOCK, 0), max(1, min(count, rows) // _BLOCK)).astype(np.int64)
    with _only_now(client, index):
        began = time.perf_counter()
        with translated(f"creating {index}"):
            client.indices.create(index=index, **body)
        bulk.load(client, index, [_joined(stream, starts[n::senders], rows) for n in range(senders)])
        settle(client, index, lambda done: None)
        return Cost(time.perf_counter() - began, size(client, index)[1])


def _joined(stream: Stream, starts: Sequence[Any] | np.ndarray, rows: int) -> Iterator[bulk.Document]:
    return chain.from_iterable(stream(int(lo), min(int(lo) + _BLOCK, rows)) for lo in starts)


@contextmanager
def _only_now(client: Elasticsearch, index: str) -> Iterator[None]:
    """Nothing has that name before or afterwards."""
    with translated(f"removing {index}"):
        client.indices.delete(index=index, ignore_unavailable=True)
        try:
            yield
        finally:
            client.indices.delete(index=index, ignore_unavailable=True)
