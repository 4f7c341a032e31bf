"""Judgements of a split, in TREC's columns: `qid 0 pid grade`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.collections.collection import Collection
from services.exports.format import Counts, Encoded, Format, Output
from services.exports.lookup import text_bytes
from services.exports.reading import SPLIT, Judged


def judgements(collection: Collection, split: str) -> pa.Table:
    """A split's judgements (qid, pid, grade) as given, but for those on what has been removed since.

    Pooled judgements on passages that the collection never had stay: measures count them.
    """
    table = collection.judgements(split)
    live = collection.ords_of(table["pid"].to_pylist()) >= 0
    never = ~pc.is_in(table["pid"], value_set=collection.pids).to_numpy()
    known = collection.qords_of(table["qid"].to_pylist()) >= 0
    return table.filter(pa.array(known & (live | never)))


def lines(rows: pa.Table, *columns: str, separator: str) -> bytes:
    """Judgements as lines; a column is `qid`, `pid`, `grade`, or a word that stands for itself."""
    cells = [
        rows[name].combine_chunks().cast(pa.string()) if name in rows.column_names else name
        for name in columns
    ]
    if not len(rows):
        return b""
    joined = pc.binary_join_element_wise(*cells, separator)
    return text_bytes(pc.binary_join_element_wise(joined, "\n", ""))


def _output(reading: Judged) -> Output:
    rows = judgements(reading.collection, reading.split)
    queries = len(np.unique(rows["qid"].to_numpy(zero_copy_only=False)))
    return Output(
        "",
        [queries],
        lambda n: Encoded(lines(rows, "qid", "0", "pid", "grade", separator=" "), Counts(len(rows), queries)),
    )


QRELS: Format[Judged] = Format(
    name="qrels",
    help="Judgements of a split as TREC has them: `qid 0 pid grade`.",
    example="qrels.txt",
    reads=SPLIT,
    outputs=lambda reading, options: [_output(reading)],
)
