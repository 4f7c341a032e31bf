"""What is indexed: documents of passages and of queries, made from a collection and its vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from elasticsearch.helpers import pack_dense_vector

from services.collections.collection import Collection
from services.collections.text import passage_text
from services.elastic.bulk import Document

if TYPE_CHECKING:
    from services.encoding.vectors import Vectors

Floats = npt.NDArray[np.float32]

_PIECE = 512
"""Rows whose vectors are in memory at a time, per sender."""


def passages(collection: Collection, vectors: Mapping[str, Vectors], lo: int, hi: int) -> Iterator[Document]:
    """Documents of the live passages `lo <= ord < hi`, by pid.

    Args:
        collection: The state to index.
        vectors: By slug, the served systems' vectors for that state.
        lo: First ord.
        hi: Ord after the last.
    """
    for at in range(lo, hi, _PIECE):
        end = min(at + _PIECE, hi)
        ords = np.flatnonzero(collection.live[at:end]).astype(np.int32) + np.int32(at)
        table = collection.read_passages(at, end).take(pa.array(ords - at))
        blocks = {slug: found.passages.take(ords) for slug, found in vectors.items()}
        for n, row in enumerate(table.to_pylist()):
            yield row["pid"], passage(row) | _vectors(blocks, n)


def passage(row: dict[str, Any]) -> dict[str, Any]:
    """The source of one passage, without vectors: what the index gives back."""
    source = {"pid": row["pid"], "ord": row["ord"], "text": passage_text(row["title"], row["text"])}
    if row["title"]:
        source["title"] = row["title"]
    meta = {
        name.removeprefix("meta."): _json(value)
        for name, value in row.items()
        if name.startswith("meta.") and value is not None
    }
    return source | ({"meta": meta} if meta else {})


def queries(collection: Collection, vectors: Mapping[str, Vectors], lo: int, hi: int) -> Iterator[Document]:
    """Documents of the live queries `lo <= qord < hi`, by qid, with the splits they are in."""
    splits = {
        split: set(collection.split_qords(split, judged_only=False).tolist())
        for split in sorted(collection.state.splits)
    }
    for at in range(lo, hi, _PIECE):
        end = min(at + _PIECE, hi)
        qords = np.flatnonzero(collection.live_queries[at:end]).astype(np.int32) + np.int32(at)
        table = collection.read_queries(at, end).take(pa.array(qords - at))
        blocks = {slug: found.queries.take(qords) for slug, found in vectors.items()}
        for n, row in enumerate(table.to_pylist()):
            source = {
                "qid": row["qid"],
                "qord": row["qord"],
                "text": row["text"],
                "split": [split for split, members in splits.items() if row["qord"] in members],
            }
            yield row["qid"], source | _vectors(blocks, n)


def _vectors(blocks: Mapping[str, Floats], n: int) -> dict[str, Any]:
    """The `vectors` part of row n. A row that could not be encoded is zero: its text alone is found."""
    packed = {slug: pack_dense_vector(block[n]) for slug, block in blocks.items() if block[n].any()}
    return {"vectors": packed} if packed else {}


def _json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
