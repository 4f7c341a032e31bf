"""The format of `sentence-transformers/msmarco-hard-negatives`: one JSON object per line and query."""

from __future__ import annotations

from itertools import pairwise

import orjson

from services.exports.format import Encoded, Format, Lookup, Selected
from services.exports.writer import BlockFile


def _encode(selected: Selected, lookup: Lookup) -> Encoded[bytes]:
    block = selected.block
    pids = lookup.pids(block.positives.ords)
    positives = [pids[lo:hi] for lo, hi in pairwise(block.positives.starts)]
    negatives = {}
    for n, system in enumerate(block.systems):
        rows, starts = block.by_system(selected.kept, n)
        pids = lookup.pids(block.ords[rows])
        negatives[system.reference_key] = [pids[lo:hi] for lo, hi in pairwise(starts)]
    lines = (
        orjson.dumps({"qid": qid, "pos": positives[n], "neg": {key: of[n] for key, of in negatives.items()}})
        for n, qid in enumerate(lookup.qids(block))
    )
    return Encoded(
        b"".join(line + b"\n" for line in lines), queries=len(block.qids), negatives=int(selected.kept.sum())
    )


HARD_NEGATIVES: Format[bytes] = Format(
    name="hard-negatives",
    help='JSON lines {"qid": …, "pos": […], "neg": {"bm25": […], …}}, as the reference file has them.',
    example="negatives.jsonl.gz",
    encode=_encode,
    sink=BlockFile,
)
