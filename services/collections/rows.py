"""The contracts of rows: what a passage, a query and a judgement must be to get in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from services.collections.bad_row import BadRow
from services.collections.fields import parse_value
from services.collections.state import FieldType
from services.collections.text import passage_text

Record = Mapping[str, Any]

LONGEST_TEXT = 100_000
LONGEST_ID = 512
PID_KEYS = ("pid", "_id", "id", "doc_id", "docid", "docno")
QID_KEYS = ("qid", "_id", "id", "query_id", "query-id")
JUDGED_QID_KEYS = ("qid", "query_id", "query-id")
JUDGED_PID_KEYS = ("pid", "doc_id", "corpus-id", "corpus_id", "passage_id")
GRADE_KEYS = ("grade", "relevance", "rel", "score")
_SPACE_OR_CONTROL = re.compile(r"[\s\x00-\x1f\x7f]")
_INTEGER = re.compile(r"[+-]?\d{1,10}", re.ASCII)


class Passage(NamedTuple):
    """A checked passage; `values` are its metadata in the order of the collection's fields."""

    pid: str
    title: str | None
    text: str
    values: tuple[Any, ...]


class Query(NamedTuple):
    """A checked query."""

    qid: str
    text: str


class Judgement(NamedTuple):
    """A checked judgement; the ids need not be known."""

    qid: str
    pid: str
    grade: int


def passage(record: Record, fields: Mapping[str, FieldType], *, typed: bool) -> Passage:
    """A passage of a record, with its metadata at the top level or under `metadata`.

    A text may be empty where there is a title: what is encoded is both (BEIR has such passages).

    Raises:
        BadRow: an id, text or field is not what it should be.
    """
    pid = _id(record, PID_KEYS, "pid")
    title = _text(record.get("title"), "title") if record.get("title") is not None else ""
    text = _text(record.get("text"), "text")
    if not text or text.isspace():
        if not passage_text(title, text).strip():
            raise BadRow(f"passage '{pid}': text is empty", "give the passage a text or leave it out")
        text = ""
    values: tuple[Any, ...] = ()
    if fields:
        nested = record.get("metadata")
        more: Record = nested if isinstance(nested, Mapping) else {}
        values = tuple(
            parse_value(name, kind, record[name] if name in record else more.get(name), typed=typed)
            for name, kind in fields.items()
        )
    return Passage(pid, title if title.strip() else None, text, values)


def query(record: Record) -> Query:
    """A query of a record; BadRow where it is none."""
    qid = _id(record, QID_KEYS, "qid")
    text = _text(record["text"] if "text" in record else record.get("query"), "text")
    if not text or text.isspace():
        raise BadRow(f"query '{qid}': text is empty", "give the query a text or leave it out")
    return Query(qid, text)


def judgement(record: Record) -> Judgement:
    """A judgement of a record; BadRow where it is none."""
    grade = next((record[key] for key in GRADE_KEYS if key in record), None)
    if isinstance(grade, str) and _INTEGER.fullmatch(grade):
        grade = int(grade)
    if isinstance(grade, float) and grade.is_integer():  # catalogues keep grades as doubles
        grade = int(grade)
    if isinstance(grade, bool) or not isinstance(grade, int) or not -(2**31) <= grade < 2**31:
        raise BadRow(f"grade is no integer: {str(grade)[:80]!r}", "write a whole number such as 0 or 1")
    return Judgement(_id(record, JUDGED_QID_KEYS, "qid"), _id(record, JUDGED_PID_KEYS, "pid"), grade)


def pid_of(record: Record) -> str:
    """The pid of a record that needs nothing else (a file of passages to delete)."""
    return _id(record, PID_KEYS, "pid")


def _id(record: Record, keys: tuple[str, ...], name: str) -> str:
    value = next((record[key] for key in keys if key in record), None)
    if name in record and name in keys:
        for key in {"_id", "id"}.intersection(keys, record):
            if str(record[key]) != str(value):
                raise BadRow(
                    f"{name} {str(value)[:80]!r}, but {key} {str(record[key])[:80]!r}",
                    f"give every row one {name}: remove or rename {key}",
                )
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value:
        found = f"no {name}" if value in (None, "") else f"{name} is no text: {str(value)[:80]!r}"
        raise BadRow(
            found, f"give every row its {name} (one of {', '.join(keys)}), text or a whole number below 2^64"
        )
    if _SPACE_OR_CONTROL.search(value):
        raise BadRow(
            f"{name} has white space or a control character: {value[:80]!r}",
            f"use a {name} without white space",
        )
    if len(value) > LONGEST_ID or len(_encoded(value, name)) > LONGEST_ID:
        raise BadRow(
            f"{name} has {len(value.encode())} bytes: '{value[:40]}…'", f"use at most {LONGEST_ID} bytes"
        )
    return value


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        found = f"no {name}" if value is None else f"{name} is no text: {str(value)[:80]!r}"
        raise BadRow(found, f"give every row a {name}: a string, in JSON in quotes")
    if len(value) > LONGEST_TEXT:
        raise BadRow(
            f"{name} has {len(value):,} characters", f"cut it into passages of at most {LONGEST_TEXT:,}"
        )
    if "\0" in value:
        raise BadRow(f"{name} holds a NUL character at position {value.index(chr(0))}", "remove it")
    if not value.isascii():
        _encoded(value, name)
    return value


def _encoded(value: str, name: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise BadRow(f"{name} is broken UTF-8 at character {error.start}", "save the data as UTF-8") from None
