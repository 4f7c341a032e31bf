"""A row per (query, passage) with a label of 1 or 0: BinaryCrossEntropyLoss of a cross-encoder."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from services.exports.format import Encoded, Format
from services.exports.lookup import Lookup
from services.exports.reading import Negatives, negatives
from services.exports.selected import Selected

COLUMNS = ("query", "passage", "label")


def _encode(selected: Selected, lookup: Lookup) -> Encoded:
    query, ords, label = selected.labelled(only=selected.with_both())
    of = pa.array(query.astype(np.int32))
    queries = pa.DictionaryArray.from_arrays(of, lookup.query_texts(selected.block))
    table = pa.table([queries, lookup.texts(ords), pa.array(label)], COLUMNS)
    return Encoded(table, selected.counts(query, int((label == 0).sum())))


LABELED_PAIR: Format[Negatives] = Format(
    name="labeled-pair",
    help="query, passage, label: 1 for positives, 0 for negatives: BinaryCrossEntropyLoss.",
    example="out",
    reads=negatives(),
    outputs=lambda reading, options: [reading.table("labeled-pair", _encode)],
    folder=True,
)
