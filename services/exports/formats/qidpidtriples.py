"""MS MARCO's `qidpidtriples`: tab-separated ids of a query, a positive and a negative."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from services.exports.format import Encoded, Format
from services.exports.lookup import Lookup, text_bytes
from services.exports.reading import Negatives, negatives
from services.exports.selected import Selected


def _encode(selected: Selected, lookup: Lookup) -> Encoded:
    block = selected.block
    positive, negative = selected.triples()
    query = block.positives.query[positive]
    lines = pc.binary_join_element_wise(
        lookup.qids(block).take(pa.array(query)),
        "\t",
        lookup.pids(block.positives.ords[positive]),
        "\t",
        lookup.pids(block.pairs.ords[negative]),
        "\n",
        "",
    )
    return Encoded(text_bytes(lines), selected.counts(query, len(negative)))


QIDPIDTRIPLES: Format[Negatives] = Format(
    name="qidpidtriples",
    help="Lines `qid<TAB>positive<TAB>negative` of ids, every positive with every negative.",
    example="qidpidtriples.tsv.gz",
    reads=negatives(),
    outputs=lambda reading, options: [reading.file(_encode)],
)
