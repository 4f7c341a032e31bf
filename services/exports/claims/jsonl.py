"""JSON lines of any file, ours or not: plain, gzip or zstd, bounded in memory."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from services.collections.sources.lines import LONGEST_LINE, plain_lines
from services.exports.claims.claim import (
    BadLine,
    Claims,
    Entry,
    Malformed,
    Read,
    id_of,
    ids,
    member,
    numbers,
    what,
)

LONGEST = 64 << 20
"""Bytes of a line with the texts of a query's passages."""
_KEY = re.compile(rb'"\s*:')
"""The end of every key; of a string's inside too, where it has an escaped quote."""


class Layout(NamedTuple):
    """One shape of lines.

    Attributes:
        format: Its name.
        keys: What a line of it has.
        parse: The entry of a line.
        texts: Whether it has texts instead of ids.
        longest: Bytes that a line may have.
    """

    format: str
    keys: frozenset[str]
    parse: Callable[[dict[str, Any], int], Entry]
    texts: bool = False
    longest: int = LONGEST_LINE


def open_jsonl(file: Path, first: bytes, read: Read) -> Claims:
    """The file; where its first line is of no known layout, it is held against that of `hard-negatives`.

    Args:
        file: The file.
        first: Its first line.
        read: Told of the bytes read so far.
    """
    layout = _layout(first)
    entries = read_entries(file, read, layout)
    return Claims(layout.format, entries, whole=layout.format in _WHOLE, texts=layout.texts)


def read_entries(
    file: Path, read: Read = lambda size: None, layout: Layout | None = None
) -> Iterator[Entry | Malformed]:
    """The lines of a file; blank ones are passed over.

    Args:
        file: Its compression is told by its first bytes.
        read: Called with the bytes of the file read so far, as they lie on disk.
        layout: Of its lines; None: `hard-negatives`.

    Raises:
        InputError: there is no such file, it is empty, its name promises another compression, or it ends
            early or is damaged.
    """
    layout = layout or HARD_NEGATIVES
    for number, line in plain_lines(file, read, layout.longest):
        if line is None:
            yield Malformed(number, f"longer than {layout.longest >> 20} MiB")
        elif line.strip():
            yield _parsed(line, number, layout.parse)


def _parsed(line: bytes, number: int, parse: Callable[[dict[str, Any], int], Entry]) -> Entry | Malformed:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return Malformed(number, f"no JSON: {error}")
    try:
        if len(_KEY.findall(line)) != _keys(row):
            _refuse_repeated_keys(line)
        return parse(row, number)
    except BadLine as error:
        return Malformed(number, str(error))


def _layout(first: bytes) -> Layout:
    try:
        row = orjson.loads(first)
    except orjson.JSONDecodeError:
        return HARD_NEGATIVES
    keys = set(row) if isinstance(row, dict) else set()
    return next((one for one in _LAYOUTS if one.keys <= keys), HARD_NEGATIVES)


def _keys(row: Any) -> int:
    """Keys of the object and its `neg`; where a line has more, they are elsewhere or there twice."""
    neg = row.get("neg") if isinstance(row, dict) else None
    return (len(row) if isinstance(row, dict) else 0) + (len(neg) if isinstance(neg, dict) else 0)


def _refuse_repeated_keys(line: bytes) -> None:
    """A reader keeps one value of a key that is there twice, and which one is anybody's guess."""

    def distinct(pairs: list[tuple[str, Any]]) -> None:
        names: set[str] = set()
        for name, _ in pairs:
            if name in names:
                raise BadLine(f"has '{name}' twice")
            names.add(name)

    try:
        json.loads(line, object_pairs_hook=distinct)
    except RecursionError:
        raise BadLine("nested too deep") from None


def _hard_negatives(row: Any, line: int) -> Entry:
    qid, pos, neg = id_of(member(row, "qid")), ids(member(row, "pos"), "pos"), member(row, "neg")
    if not isinstance(neg, dict):
        raise BadLine(f"'neg' is {what(neg)} instead of an object")
    return Entry(line, qid, pos, {name: ids(found, f"neg.{name}") for name, found in neg.items()})


def _flagembedding(row: Any, line: int) -> Entry:
    pos, neg = ids(member(row, "pos"), "pos"), ids(member(row, "neg"), "neg")
    for name, passages in (("pos_scores", pos), ("neg_scores", neg)):
        scores = row.get(name)
        if scores is not None and len(numbers(scores, name)) != len(passages):
            raise BadLine(f"'{name}' is not as long as its passages")
    return Entry(line, id_of(member(row, "query")), pos, {"neg": neg})


def _tevatron(row: Any, line: int) -> Entry:
    def docids(name: str) -> list[str]:
        passages = member(row, name)
        if not isinstance(passages, list):
            raise BadLine(f"'{name}' is {what(passages)} instead of a list")
        return [id_of(member(passage, "docid")) for passage in passages]

    pos, neg = docids("positive_passages"), docids("negative_passages")
    return Entry(line, id_of(member(row, "query_id")), pos, {"negative_passages": neg})


def _pylate(row: Any, line: int) -> Entry:
    documents = ids(member(row, "document_ids"), "document_ids")
    if len(numbers(member(row, "scores"), "scores")) != len(documents):
        raise BadLine("'scores' is not as long as 'document_ids'")
    return Entry(line, id_of(member(row, "query_id")), other=documents)


def _beir(row: Any, line: int) -> Entry:
    """A passage, which has a title, be it empty, or a query."""
    name = id_of(member(row, "_id"))
    return Entry(line, other=[name]) if "title" in row else Entry(line, name)


HARD_NEGATIVES = Layout("hard-negatives", frozenset({"qid", "pos", "neg"}), _hard_negatives)
_LAYOUTS = (
    HARD_NEGATIVES,
    Layout("flagembedding", frozenset({"query", "pos", "neg"}), _flagembedding, texts=True, longest=LONGEST),
    Layout(
        "tevatron",
        frozenset({"query_id", "positive_passages", "negative_passages"}),
        _tevatron,
        longest=LONGEST,
    ),
    Layout("pylate-kd", frozenset({"query_id", "document_ids", "scores"}), _pylate),
    Layout("beir", frozenset({"_id", "text"}), _beir),
)
_WHOLE = {"hard-negatives", "tevatron", "pylate-kd"}
