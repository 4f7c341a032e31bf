"""Scores in the layout of `sentence-transformers/msmarco-scores-*`: a list per query, or a row per pair."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from services.exports.format import Counts, Encoded, Format, Option
from services.exports.lookup import Lookup, lists
from services.exports.reading import SCORES, StoredScores
from services.scoring.score_parts import Triples

COLUMNS = ("query_id", "corpus_id", "score")


def _list(scored: Triples, lookup: Lookup, n: int, blocks: int) -> Encoded:
    qords, firsts = np.unique(scored.qords, return_index=True)
    starts = np.append(firsts, len(scored.ords))
    qids = lookup.typed_qids(qords)
    columns = [qids, lists(lookup.typed_pids(scored.ords), starts), lists(pa.array(scored.scores), starts)]
    return Encoded(pa.table(columns, COLUMNS), Counts(len(qords), len(qords)))


def _long(scored: Triples, lookup: Lookup, n: int, blocks: int) -> Encoded:
    qords, of = np.unique(scored.qords, return_inverse=True)
    qids = lookup.typed_qids(qords).take(pa.array(of))
    columns = [qids, lookup.typed_pids(scored.ords), pa.array(scored.scores)]
    return Encoded(pa.table(columns, COLUMNS), Counts(len(of), len(qords)))


SCORES_PARQUET: Format[StoredScores] = Format(
    name="scores-parquet",
    help="All scores of a cross-encoder: query_id, corpus_id, score, as lists per query or a row per pair.",
    example="scores",
    reads=SCORES,
    outputs=lambda reading, options: [
        reading.output(_list if options["form"] == "list" else _long, f"{options['form']}/train", table=True)
    ],
    folder=True,
    options=(Option("form", "A row per query with lists, or a row per pair.", "list", ("list", "long")),),
)
