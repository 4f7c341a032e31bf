"""A TREC run of one system: `qid Q0 pid rank score tag`, as it was returned, nothing left out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.exports.format import Counts, Encoded, Format
from services.exports.lookup import Lookup, text_bytes
from services.exports.reading import ONE_RUN, OneRun
from services.mining.ranking import Ords
from services.mining.runs import Columns
from services.mining.trec_order import in_trec_order


def _encode(lookup: Lookup, tag: str) -> Callable[[Ords, Columns], Encoded]:
    def encode(qords: Ords, found: Columns) -> Encoded:
        qids = pa.array([lookup.collection.qids[qord] for qord in qords.tolist()], pa.string())
        pids = lookup.pids(found.ords)
        scores = pa.array(in_trec_order(found.query, pids, found.score))
        lines = pc.binary_join_element_wise(
            qids.take(pa.array(found.query)),
            "Q0",
            pids,
            pa.array(found.rank).cast(pa.string()),
            scores.cast(pa.string()),  # the shortest decimal that is this float32
            f"{tag}\n",
            " ",
        )
        return Encoded(text_bytes(lines), Counts(len(found.ords), len(np.unique(found.query))))

    return encode


TREC_RUN: Format[OneRun] = Format(
    name="trec-run",
    help="The TREC run of one system: `qid Q0 pid rank score tag`, nothing left out.",
    example="bm25.trec.gz",
    reads=ONE_RUN,
    outputs=lambda reading, options: [
        reading.output(_encode(Lookup(reading.collection), reading.chosen.system.name))
    ],
)
