"""The format of `sentence-transformers/msmarco-hard-negatives`: one JSON object per line and query."""

from __future__ import annotations

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from services.exports.format import Counts, Encoded, Format
from services.exports.lookup import Lookup, joined, text_bytes
from services.exports.reading import Negatives, negatives
from services.exports.selected import Selected


def _encode(selected: Selected, lookup: Lookup) -> Encoded:
    block = selected.block
    pieces: list[str | pa.Array] = ['{"qid":', lookup.as_json(lookup.typed(block.qids)), ',"pos":[']
    pieces.append(joined(lookup.json_pids(block.positives.ords), block.positives.starts))
    separator = '],"neg":{'
    for n, system in enumerate(block.systems):
        rows, starts = block.by_system(selected.kept, n)
        key = orjson.dumps(system.reference_key).decode()
        pieces += [f"{separator}{key}:[", joined(lookup.json_pids(block.ords[rows]), starts)]
        separator = "],"
    lines = pc.binary_join_element_wise(*pieces, "]}}\n", "")
    queries = len(block.qids)
    return Encoded(text_bytes(lines), Counts(queries, queries, int(selected.kept.sum())))


HARD_NEGATIVES: Format[Negatives] = Format(
    name="hard-negatives",
    help='JSON lines {"qid": …, "pos": […], "neg": {"bm25": […], …}}, as the reference file has them.',
    example="negatives.jsonl.gz",
    reads=negatives(),
    outputs=lambda reading, options: [reading.file(_encode)],
)
