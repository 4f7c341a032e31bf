"""PyLate's knowledge distillation: per query its passages with a teacher's scores, and the texts by id."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from services.exports import texts
from services.exports.format import Encoded, Format
from services.exports.lookup import Lookup, lists, whole_texts
from services.exports.reading import Negatives, negatives
from services.exports.selected import Selected

TRAIN = ("query_id", "document_ids", "scores")
QUERIES = ("query_id", "text")
DOCUMENTS = ("document_id", "text")


def _encode(selected: Selected, lookup: Lookup) -> Encoded:
    both = selected.with_both()
    query, ords, label = selected.labelled(only=both)
    starts = np.append(np.unique(query, return_index=True)[1], len(query))
    scores = pa.array(selected.labelled_scores(only=both))
    table = pa.table(
        [
            lookup.typed_qids(selected.block.qords[both]),
            lists(lookup.typed_pids(ords), starts),
            lists(scores, starts),
        ],
        TRAIN,
    )
    return Encoded(table, selected.counts(both, int((label == 0).sum())))


def _queries(reading: Negatives, rows: pa.Table) -> pa.Table:
    return pa.table([texts.typed_ids(reading.collection, rows["qid"]), rows["text"]], QUERIES)


def _documents(reading: Negatives, rows: pa.Table) -> pa.Table:
    return pa.table([texts.typed_ids(reading.collection, rows["pid"]), whole_texts(rows)], DOCUMENTS)


PYLATE_KD: Format[Negatives] = Format(
    name="pylate-kd",
    help="Subsets train (query_id, document_ids, scores), queries and documents of PyLate's distillation.",
    example="kd",
    reads=negatives("needed"),
    outputs=lambda reading, options: [
        reading.table("train", _encode),
        texts.queries(reading.collection, "queries/train", lambda rows: _queries(reading, rows), table=True),
        texts.passages(
            reading.collection, "documents/train", lambda rows: _documents(reading, rows), table=True
        ),
    ],
    folder=True,
)
