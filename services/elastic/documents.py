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
from services.encoding.weights import Weights

if TYPE_CHECKING:
    from services.encoding.vectors import TermWeights, Vectors

Floats = npt.NDArray[np.float32]

_PIECE = 512
"""Rows whose vectors are in memory at a time, per sender."""


def passages(
    collection: Collection, vectors: Mapping[str, Vectors | TermWeights], lo: int, hi: int
) -> Iterator[Document]:
    """Documents of the live passages `lo <= ord < hi`, by pid.

    Args:
        collection: The state to index.
        vectors: By slug, the served systems' vectors or term weights for that state.
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


def queries(
    collection: Collection, vectors: Mapping[str, Vectors | TermWeights], lo: int, hi: int
) -> Iterator[Document]:
    """Documents of the live queries `lo <= qord < hi`, by qid, with the splits they are in.

    Of term weights there is nothing: Elasticsearch looks up vectors only.
    """
    looked_up = {slug: found for slug, found in vectors.items() if found.kind == "dense"}
    splits = {
        split: set(collection.split_qords(split, judged_only=False).tolist())
        for split in sorted(collection.state.splits)
    }
    for at in range(lo, hi, _PIECE):
        end = min(at + _PIECE, hi)
        qords = np.flatnonzero(collection.live_queries[at:end]).astype(np.int32) + np.int32(at)
        table = collection.read_queries(at, end).take(pa.array(qords - at))
        blocks = {slug: found.queries.take(qords) for slug, found in looked_up.items()}
        for n, row in enumerate(table.to_pylist()):
            source = {
                "qid": row["qid"],
                "qord": row["qord"],
                "text": row["text"],
                "split": [split for split, members in splits.items() if row["qord"] in members],
            }
            yield row["qid"], source | _vectors(blocks, n)


def _vectors(blocks: Mapping[str, Floats | Weights], n: int) -> dict[str, Any]:
    """The `vectors` part of row n. A row that could not be encoded is empty: its text alone is found."""
    made = {
        slug: block.by_term(n)
        if isinstance(block, Weights)
        else pack_dense_vector(block[n])
        if block[n].any()
        else None
        for slug, block in blocks.items()
    }
    there = {slug: value for slug, value in made.items() if value}
    return {"vectors": there} if there else {}


def _json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
