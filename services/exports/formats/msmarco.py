"""The layout of `sentence-transformers/msmarco`: a script that is written for it needs another path only.

Ids are strings. Scores are our cross-encoder's, under the published names of the subsets, which tell of
another teacher; without scores these two subsets are not there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from services.exports import texts
from services.exports.format import Encoded, Format, Options, Output
from services.exports.lookup import Lookup, lists, whole_texts
from services.exports.reading import Negatives, negatives
from services.exports.selected import Selected

CORPUS = ("passage_id", "passage")
QUERIES = ("query_id", "query")
TRIPLETS = ("query_id", "positive_id", "negative_id")
LABELED_LIST = ("query_id", "doc_ids", "labels")
MSE = ("query_id", "passage_id", "score")
MARGIN_MSE = ("query_id", "positive_id", "negative_id", "score")


def _triplets(selected: Selected, lookup: Lookup) -> Encoded:
    return _triples(selected, lookup, with_margin=False)


def _margin_mse(selected: Selected, lookup: Lookup) -> Encoded:
    return _triples(selected, lookup, with_margin=True)


def _triples(selected: Selected, lookup: Lookup, *, with_margin: bool) -> Encoded:
    block = selected.block
    positive, negative = selected.triples()
    query = block.positives.query[positive]
    columns = [
        lookup.qids(block).take(pa.array(query)),
        lookup.pids(block.positives.ords[positive]),
        lookup.pids(block.pairs.ords[negative]),
    ]
    if with_margin:
        margins = block.positives.ce[positive].astype(np.float64) - block.pairs.ce[negative]
        columns.append(pa.array(margins))
    table = pa.table(columns, MARGIN_MSE if with_margin else TRIPLETS)
    return Encoded(table, selected.counts(query, len(negative)))


def _labeled_list(selected: Selected, lookup: Lookup) -> Encoded:
    query, ords, label = selected.labelled(only=selected.with_both())
    queries, firsts = np.unique(query, return_index=True)
    starts = np.append(firsts, len(query))
    table = pa.table(
        [
            lookup.qids(selected.block).take(pa.array(queries)),
            lists(lookup.pids(ords), starts),
            lists(pa.array(label), starts),
        ],
        LABELED_LIST,
    )
    return Encoded(table, selected.counts(queries, int((label == 0).sum())))


def _mse(selected: Selected, lookup: Lookup) -> Encoded:
    both = selected.with_both()
    query, ords, label = selected.labelled(only=both)
    table = pa.table(
        [
            lookup.qids(selected.block).take(pa.array(query)),
            lookup.pids(ords),
            pa.array(selected.labelled_scores(only=both).astype(np.float64)),
        ],
        MSE,
    )
    return Encoded(table, selected.counts(query, int((label == 0).sum())))


def _corpus(rows: pa.Table) -> pa.Table:
    return pa.table([rows["pid"], whole_texts(rows)], CORPUS)


def _queries(rows: pa.Table) -> pa.Table:
    return pa.table([rows["qid"], rows["text"]], QUERIES)


def _outputs(reading: Negatives, options: Options) -> Sequence[Output]:
    labels = reading.only_scored()
    scored = [
        labels.table("bert-ensemble-mse", _mse),
        labels.table("bert-ensemble-margin-mse", _margin_mse),
    ]
    return [
        reading.table("triplets", _triplets),
        reading.table("labeled-list", _labeled_list),
        *(scored if reading.opened.scores else []),
        texts.passages(reading.collection, "corpus/train", _corpus, table=True),
        texts.queries(reading.collection, "queries/train", _queries, table=True),
    ]


MSMARCO: Format[Negatives] = Format(
    name="msmarco",
    help="All subsets of `sentence-transformers/msmarco`: corpus, queries, triplets, labeled-list, scores.",
    example="msmarco",
    reads=negatives("shown"),
    outputs=_outputs,
    folder=True,
)
