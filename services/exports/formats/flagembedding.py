"""FlagEmbedding's training lines: a query with its positives and negatives, texts and scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from services.exports.format import Encoded, Format, in_pieces
from services.exports.lookup import Lookup
from services.exports.reading import Negatives, negatives
from services.exports.selected import Selected

KEYS = ("query", "pos", "neg")
SCORES = ("pos_scores", "neg_scores")


def _encode(selected: Selected, lookup: Lookup) -> Encoded:
    queries = selected.with_both()
    _, ords, _ = selected.labelled(only=queries)
    texts, said = lookup.texts_of(ords), lookup.query_texts(selected.block).to_pylist()
    scores = selected.labelled_scores(only=queries).tolist()

    def lines() -> Iterator[bytes]:
        for query, *places in selected.by_query(queries):
            line: dict[str, Any] = dict(
                zip(KEYS, [said[query], *(texts[place] for place in places)], strict=True)
            )
            if selected.selection.scored == "all":
                line |= dict(zip(SCORES, (scores[place] for place in places), strict=True))
            yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)

    return Encoded(in_pieces(lines()), selected.counts(queries, selected.negatives_of(queries)))


FLAGEMBEDDING: Format[Negatives] = Format(
    name="flagembedding",
    help="JSON lines of FlagEmbedding: query, pos, neg, and pos_scores, neg_scores where there are scores.",
    example="train.jsonl",
    reads=negatives("optional"),
    outputs=lambda reading, options: [reading.file(_encode)],
)
