"""The columns that training formats share: a query, a positive and its negatives, as texts or as ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from services.exports.lookup import Lookup
from services.exports.selected import Selected
from services.negatives.block import Index, Positives

Columns = dict[str, pa.Array]


class Rows(NamedTuple):
    """Rows of a table: a positive (position in `block.positives`) and n negatives (in `block.pairs`) each.

    Attributes:
        positive: int64 [rows].
        negatives: int64 [rows, n].
    """

    positive: Index
    negatives: Index

    def query(self, positives: Positives) -> Index:
        """Per row, the position of its query."""
        return positives.query[self.positive]


def negative_names(n: int) -> Sequence[str]:
    """`negative_1` to `negative_n`."""
    return [f"negative_{place}" for place in range(1, n + 1)]


def texts(selected: Selected, lookup: Lookup, rows: Rows, names: Sequence[str]) -> Columns:
    """`query`, `positive` and the negatives under these names, each text held once."""
    block = selected.block
    query = pa.array(rows.query(block.positives).astype(np.int32))
    # Column by column, so that each is a slice of what is looked up in one pass.
    ords = [block.positives.ords[rows.positive], block.pairs.ords[rows.negatives.T.ravel()]]
    found = lookup.texts(np.concatenate(ords))
    size = len(rows.positive)
    columns: Columns = {"query": pa.DictionaryArray.from_arrays(query, lookup.query_texts(block))}
    for place, name in enumerate(["positive", *names]):
        columns[name] = found.slice(place * size, size)
    return columns


def ids(selected: Selected, lookup: Lookup, rows: Rows, names: Sequence[str]) -> Columns:
    """The same as int64 ids; where ids are no integers, as ords."""
    block = selected.block
    columns: Columns = {
        "query": pa.array(lookup.qid_numbers(block)[rows.query(block.positives)]),
        "positive": pa.array(lookup.pid_numbers(block.positives.ords[rows.positive])),
    }
    for place, name in enumerate(names):
        columns[name] = pa.array(lookup.pid_numbers(block.pairs.ords[rows.negatives[:, place]]))
    return columns
