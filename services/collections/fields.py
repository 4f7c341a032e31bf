"""Typed metadata of passages: `--field year:integer` becomes the column `meta.year`.

| type    | column       | accepted                                                       |
|---------|--------------|----------------------------------------------------------------|
| keyword | string       | text of at most 32,766 bytes (Lucene's longest term)           |
| integer | int64        | whole numbers                                                  |
| float   | double       | finite numbers                                                 |
| date    | string       | ISO 8601; kept in UTC, as Elasticsearch's `date` reads it      |
| boolean | bool         | true, false                                                    |

A value is absent (null) where the row has none. Rows of text (tsv) have their values parsed; rows
with types (json, parquet) must have the right one.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable
from typing import Any, cast, get_args

import pyarrow as pa

from services.collections.bad_row import BadRow
from services.collections.names import check_field
from services.collections.state import FieldType
from services.errors import UsageError

ARROW: dict[FieldType, pa.DataType] = {
    "keyword": pa.string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "date": pa.string(),
    "boolean": pa.bool_(),
}
_LONGEST_TERM = 32_766
_PARTIAL_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2]))?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?", re.ASCII)


def parse_declarations(texts: list[str]) -> dict[str, FieldType]:
    """`["year:integer"]` as `{"year": "integer"}`; UsageError for a bad name, type or a repeated name."""
    fields: dict[str, FieldType] = {}
    for text in texts:
        name, colon, kind = text.partition(":")
        if not colon or kind not in get_args(FieldType):
            types = ", ".join(get_args(FieldType))
            raise UsageError(f"bad field '{text}'", hint=f"name:type, type one of {types}")
        if name in fields:
            raise UsageError(f"field '{name}' is declared twice")
        fields[check_field(name)] = cast(FieldType, kind)
    return fields


def parse_value(name: str, kind: FieldType, value: Any, *, typed: bool) -> Any:
    """The value as its column holds it, or None.

    Args:
        name: The field's name, for the message.
        kind: Its declared type.
        value: As the source gave it.
        typed: Whether the source has types; otherwise `value` is text to be parsed ("" is none).

    Raises:
        BadRow: the value is not of that type.
    """
    if value is None or (value == "" and not typed):
        return None
    try:
        return _PARSERS[kind](value if typed else _from_text(kind, value))
    except (ValueError, OverflowError):
        raise BadRow(
            f"field '{name}' is no {kind}: {str(value)[:80]!r}",
            f"write a value of type {kind}, leave it out, or declare another type",
        ) from None


def _from_text(kind: FieldType, text: str) -> Any:
    """Numbers are ASCII: what else Python reads (`1_000`, other digits) stays text, which is none."""
    if kind == "integer" and _INTEGER.fullmatch(text.strip(" ")):
        return int(text)
    if kind == "float" and _FLOAT.fullmatch(text.strip(" ")):
        return float(text)
    if kind == "boolean":
        return {"true": True, "false": False}.get(text.lower(), text)
    return text


def _keyword(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value or len(value.encode()) > _LONGEST_TERM:
        raise ValueError
    return value


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise ValueError
    return value


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError
    return float(value)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError


def _date(value: Any) -> str:
    """`2024`, `2024-05`, `2024-05-01` as they are; a time in UTC with milliseconds. No zone: UTC."""
    if isinstance(value, dt.datetime):
        return _utc(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, str) and _PARTIAL_DATE.fullmatch(value):
        return value
    if isinstance(value, str) and _ISO_DATE.fullmatch(value):
        moment = dt.datetime.fromisoformat(value)
        return value if len(value) == len("2024-05-01") else _utc(moment)
    raise ValueError


def _utc(moment: dt.datetime) -> str:
    moment = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


_PARSERS: dict[FieldType, Callable[[Any], Any]] = {
    "keyword": _keyword,
    "integer": _integer,
    "float": _float,
    "date": _date,
    "boolean": _boolean,
}
