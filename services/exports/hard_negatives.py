"""The format of `sentence-transformers/msmarco-hard-negatives`: one JSON object per line and query."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from services.exports.format import LineFormat, QueryNegatives


def _encode(queries: Sequence[QueryNegatives]) -> bytes:
    return b"".join(
        orjson.dumps({"qid": query.qid, "pos": query.pos, "neg": query.neg}) + b"\n" for query in queries
    )


HARD_NEGATIVES = LineFormat(
    name="hard-negatives",
    help='JSON lines {"qid": …, "pos": […], "neg": {"bm25": […], …}}, as the reference file has them.',
    example="negatives.jsonl.gz",
    encode=_encode,
)
