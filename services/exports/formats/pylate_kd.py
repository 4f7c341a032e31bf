"""PyLate's knowledge distillation: per query its passages with a teacher's scores, and the texts by id.

Its collator makes a tensor of a batch's scores: lists must not be shorter than the `n_ways` of KDProcessing,
which cuts longer ones and does not fill shorter ones up (PyLate, utils/processing.py).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from services.exports import texts
from services.exports.format import Encoded, Format, Option
from services.exports.lookup import Lookup, lists, whole_texts
from services.exports.reading import Negatives, negatives
from services.exports.selected import Selected
from services.mining.ranking import Ords, Scores
from services.negatives.block import Index

TRAIN = ("query_id", "document_ids", "scores")
QUERIES = ("query_id", "text")
DOCUMENTS = ("document_id", "text")

_Lists = tuple[Index, Ords, Scores, Index]
"""Query of each row, as a position in the block; ords and scores of all rows; where each begins."""


def _encode(selected: Selected, lookup: Lookup, ways: int | None) -> Encoded:
    query, ords, scores, starts = _any_length(selected) if ways is None else _one_length(selected, ways)
    table = pa.table(
        [
            lookup.typed_qids(selected.block.qords[query]),
            lists(lookup.typed_pids(ords), starts),
            lists(pa.array(scores), starts),
        ],
        TRAIN,
    )
    return Encoded(table, selected.counts(query, len(ords) - _positives(selected, query, ways)))


def _any_length(selected: Selected) -> _Lists:
    both = selected.with_both()
    query, ords, _ = selected.labelled(only=both)
    starts = np.append(np.unique(query, return_index=True)[1], len(query))
    return both, ords, selected.labelled_scores(only=both), starts


def _one_length(selected: Selected, ways: int) -> _Lists:
    positive, negatives = selected.tuples(ways - 1)
    positives, pairs = selected.block.positives, selected.block.pairs
    ords = np.column_stack([positives.ords[positive], pairs.ords[negatives]]).ravel()
    scores = np.column_stack([positives.ce[positive], pairs.ce[negatives]]).ravel()
    return positives.query[positive], ords, scores, np.arange(len(positive) + 1) * ways


def _positives(selected: Selected, query: Index, ways: int | None) -> int:
    return int(np.diff(selected.positive_starts)[query].sum()) if ways is None else len(query)


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
        reading.table("train", lambda selected, lookup: _encode(selected, lookup, options["n-ways"])),
        texts.queries(reading.collection, "queries/train", lambda rows: _queries(reading, rows), table=True),
        texts.passages(
            reading.collection, "documents/train", lambda rows: _documents(reading, rows), table=True
        ),
    ],
    folder=True,
    options=(
        Option(
            "n-ways",
            "Passages per query, one positive first; queries with fewer are left out. Default: all.",
            None,
        ),
    ),
    negatives_per_row=lambda options: (options["n-ways"] or 2) - 1,
)
