"""A whole collection as a BEIR folder: corpus.jsonl, queries.jsonl, qrels/<split>.tsv."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pyarrow as pa

from services.collections.collection import Collection
from services.exports import texts
from services.exports.format import Counts, Encoded, Format, Output, in_pieces
from services.exports.formats.qrels import judgements, lines
from services.exports.reading import COLLECTION, Whole

CORPUS = ("_id", "title", "text", "metadata")
QUERIES = ("_id", "text")
QRELS = ("query-id", "corpus-id", "score")
_FIELD = "meta."


def _corpus(rows: pa.Table) -> Iterator[bytes]:
    fields = [name for name in rows.column_names if name.startswith(_FIELD)]
    return in_pieces(
        _line(CORPUS, row["pid"], row["title"] or "", row["text"], _metadata(row, fields))
        for row in rows.to_pylist()
    )


def _metadata(row: dict[str, Any], fields: list[str]) -> dict[str, Any]:
    return {name.removeprefix(_FIELD): row[name] for name in fields if row[name] is not None}


def _queries(rows: pa.Table) -> bytes:
    return b"".join(_line(QUERIES, row["qid"], row["text"]) for row in rows.to_pylist())


def _line(keys: tuple[str, ...], *values: Any) -> bytes:
    return orjson.dumps(dict(zip(keys, values, strict=True)), option=orjson.OPT_APPEND_NEWLINE)


def _qrels(collection: Collection, split: str) -> Output:
    def encode(n: int) -> Encoded:
        rows = judgements(collection, split)
        head = "\t".join(QRELS).encode() + b"\n"
        return Encoded(head + lines(rows, "qid", "pid", "grade", separator="\t"), Counts(rows=len(rows)))

    return Output(f"qrels/{split}.tsv", [1], encode)


def _outputs(reading: Whole) -> list[Output]:
    collection = reading.collection
    judged = [split for split, parts in sorted(collection.state.qrels.items()) if parts]
    return [
        texts.passages(collection, "corpus.jsonl", _corpus),
        texts.queries(collection, "queries.jsonl", _queries),
        *(_qrels(collection, split) for split in judged),
    ]


BEIR: Format[Whole] = Format(
    name="beir",
    help="The whole collection as a BEIR folder: corpus.jsonl, queries.jsonl, qrels/<split>.tsv.",
    example="beir",
    reads=COLLECTION,
    outputs=lambda reading, options: _outputs(reading),
    folder=True,
)
