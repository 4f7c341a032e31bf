"""Tevatron's training lines: a query with its positive and negative passages, ids and texts."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from services.exports.format import Encoded, Format, in_pieces
from services.exports.lookup import Lookup
from services.exports.reading import Negatives, negatives
from services.exports.selected import Selected

KEYS = ("query_id", "query", "positive_passages", "negative_passages")
PASSAGE = ("docid", "title", "text")


def _encode(selected: Selected, lookup: Lookup) -> Encoded:
    block = selected.block
    queries = selected.with_both()
    _, ords, _ = selected.labelled(only=queries)
    passages, texts = lookup.passages_of(ords, PASSAGE), lookup.query_texts(block).to_pylist()

    def lines() -> Iterator[bytes]:
        for query, *places in selected.by_query(queries):
            values = [block.qids[query], texts[query], *(passages[place] for place in places)]
            yield orjson.dumps(dict(zip(KEYS, values, strict=True)), option=orjson.OPT_APPEND_NEWLINE)

    return Encoded(in_pieces(lines()), selected.counts(queries, selected.negatives_of(queries)))


TEVATRON: Format[Negatives] = Format(
    name="tevatron",
    help="JSON lines of Tevatron: query_id, query, positive_passages, negative_passages.",
    example="train.jsonl",
    reads=negatives(),
    outputs=lambda reading, options: [reading.file(_encode)],
)
