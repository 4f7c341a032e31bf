"""Parquet files, known by their columns: triplets and tuples of texts or ids, lists with labels, scores."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from services.collections.sources.opened_parquet import PARQUET_ERRORS, OpenedParquet, open_parquet
from services.collections.sources.plain_types import is_id, plain_type, value_type
from services.collections.sources.row_groups import batches
from services.errors import InputError, first_line
from services.exports.claims.claim import BadLine, Claims, Entry, Malformed, Read, numbers
from services.shown import listed

_BATCH = 1024
_NEGATIVE = re.compile(r"negative(_\d+)?(_id)?")
_QUERIES = ("query_id", "qid", "query", "anchor")
_POSITIVES = ("positive", "positive_id")
_LABELS = ("label", "labels")
_DOCUMENTS = ("passage_id", "corpus_id", "document_ids", "doc_ids", "document", "passage", "positive", "text")
_QUERY_TEXTS = ({"query_id", "query"}, {"query_id", "text"})
_PASSAGE_TEXTS = ({"passage_id", "passage"}, {"document_id", "text"})
_VALUES = (*_LABELS, "score", "scores")
"""Columns of numbers: one, or a list."""
_NAMES = "ids.parquet"
"""Beside shards whose integers are positions: what they stand for."""
Parse = Callable[[dict[str, Any], int], Entry]


def open_table(file: Path, read: Read) -> Claims:
    """The file.

    Raises:
        InputError: as `open_parquet`, or its columns are none that are known.
    """
    source = open_parquet(file)
    schema = pa.schema({one.name: plain_type(one.type) for one in source.schema})
    name, parse, columns = _recognised(file, schema)
    last = schema.field(columns[-1]).type
    text = pt.is_large_string(value_type(last)) and not columns[-1].endswith(("_id", "_ids"))
    kinds = {column: value_type(schema.field(column).type) for column in columns if column not in _VALUES}
    integers = all(map(pt.is_integer, kinds.values()))
    ords = integers and file.name != _NAMES and (file.parent / _NAMES).is_file()
    for column, kind in kinds.items():
        if not is_id(kind):
            parse = _refused(f"'{column}' is a column of {kind}, which is no type of ids")
            break
    entries = _entries(file, source, columns, parse, read)
    scores, lists = name == "scores-parquet", pt.is_nested(last)
    return Claims(
        name,
        entries,
        whole=scores and lists,
        texts=text and name != "texts",
        ords=ords,
        pairs=scores and not lists,
    )


def _recognised(file: Path, schema: pa.Schema) -> tuple[str, Parse, list[str]]:
    """The format, how a row of it is read, and the columns that hold query and passages."""
    names = schema.names
    query = next((name for name in _QUERIES if name in names), None)
    positive = next((name for name in _POSITIVES if name in names), None)
    negatives = [name for name in names if _NEGATIVE.fullmatch(name)]
    if query and positive and negatives:
        kind = "triplet" if len(negatives) == 1 else "n-tuple"
        values = [name for name in _VALUES if name in names]
        return kind, _tuples(query, positive, negatives), [query, *values, positive, *negatives]
    document = next((name for name in _DOCUMENTS if name in names), None)
    label = next((name for name in _LABELS if name in names), None)
    if query and document and label:
        return "labeled-list", _labelled(query, document, label), [query, label, document]
    if query and document and ("score" in names or "scores" in names):
        score = "scores" if "scores" in names else "score"
        return "scores-parquet", _scored(query, document, score), [query, score, document]
    if set(names) in _QUERY_TEXTS:
        return "texts", lambda row, line: Entry(line, str(row["query_id"])), ["query_id"]
    if set(names) in _PASSAGE_TEXTS:
        column = next(name for name in names if name.endswith("_id"))
        return "texts", _passage(column), [column]
    if names == ["kind", "ord", "id"]:
        return "texts", _named, names
    raise InputError(
        f"{file}: its columns are {listed(names)}, which is no format that is known",
        hint="docs/export.md lists the formats",
    )


def _passage(column: str) -> Parse:
    return lambda row, line: Entry(line, other=[str(row[column])])


def _named(row: dict[str, Any], line: int) -> Entry:
    """A row of `ids.parquet`: what a number of an `-ids` subset stands for."""
    if row["kind"] not in ("passage", "query") or not isinstance(row["ord"], int):
        raise ValueError("a row is (passage or query, its number, its id)")
    if row["kind"] == "passage":
        return Entry(line, other=[row["id"]], at=row["ord"])
    return Entry(line, qid=row["id"], at=row["ord"])


def _refused(why: str) -> Parse:
    def parse(row: dict[str, Any], line: int) -> Entry:
        raise ValueError(why)

    return parse


def _tuples(query: str, positive: str, negatives: list[str]) -> Parse:
    return lambda row, line: Entry(
        line, str(row[query]), [str(row[positive])], {"negative": [str(row[name]) for name in negatives]}
    )


def _labelled(query: str, document: str, label: str) -> Parse:
    def parse(row: dict[str, Any], line: int) -> Entry:
        documents, labels = _as_lists(row[document], row[label])
        pos = [name for name, value in zip(documents, labels, strict=True) if value > 0]
        neg = [name for name, value in zip(documents, labels, strict=True) if value <= 0]
        return Entry(line, str(row[query]), pos, {"negative": neg})

    return parse


def _scored(query: str, document: str, score: str) -> Parse:
    def parse(row: dict[str, Any], line: int) -> Entry:
        documents, _ = _as_lists(row[document], row[score])
        return Entry(line, str(row[query]), other=documents)

    return parse


def _as_lists(documents: Any, values: Any) -> tuple[list[str], list[Any]]:
    found = [str(one) for one in documents] if isinstance(documents, list) else [str(documents)]
    listed = values if isinstance(values, list) else [values]
    if len(found) != len(listed):
        raise ValueError(f"{len(found):,} passages and {len(listed):,} values")
    return found, listed


def _entries(
    file: Path, source: OpenedParquet, columns: list[str], parse: Parse, read: Read
) -> Iterator[Entry | Malformed]:
    total, size, number = max(1, source.rows), file.stat().st_size, 0
    try:
        for batch in batches(source, _BATCH, list(dict.fromkeys(columns))):
            for row in batch.to_pylist():
                number += 1
                read(size * number // total)
                if any(value is None for value in row.values()):
                    yield Malformed(number, "something in the row is null")
                    continue
                try:
                    for name in row.keys() & _VALUES:
                        numbers(row[name] if isinstance(row[name], list) else [row[name]], name)
                    yield parse(row, number)
                except (ValueError, TypeError, BadLine) as error:
                    yield Malformed(number, first_line(error))
    except (*PARQUET_ERRORS, ValueError) as error:
        yield Malformed(number + 1, f"cannot be read from here on: {first_line(error)}")
