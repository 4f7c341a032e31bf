"""A condition on documents, in both languages that it is needed in: KQL, and the query DSL."""

from __future__ import annotations

import json
from typing import Any, Literal

Value = bool | int | float | str
Range = dict[Literal["gt", "gte", "lt", "lte"], float]
Asked = Value | list[Value] | Range
Where = dict[str, Asked]
"""By field: a value, several of which one must be there, a range, or "*": any value at all."""
ANY = "*"
_SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def kql(where: Where) -> str:
    """As people type it into Kibana's query bar."""
    return " and ".join(_kql(field, asked) for field, asked in where.items())


def clauses(where: Where) -> list[dict[str, Any]]:
    """As filters of a `bool` query: what Kibana makes of the KQL."""
    return [_clause(field, asked) for field, asked in where.items()]


def _kql(field: str, asked: Asked) -> str:
    if isinstance(asked, dict):
        return " and ".join(f"{field} {_SIGNS[sign]} {_literal(value)}" for sign, value in asked.items())
    if isinstance(asked, list):
        return f"{field}: ({' or '.join(map(_literal, asked))})"
    return f"{field}: {ANY if asked == ANY else _literal(asked)}"


def _clause(field: str, asked: Asked) -> dict[str, Any]:
    if isinstance(asked, dict):
        return {"range": {field: dict(asked)}}
    if isinstance(asked, list):
        return {"terms": {field: asked}}
    return {"exists": {"field": field}} if asked == ANY else {"term": {field: asked}}


def _literal(value: Value) -> str:
    """A text is quoted, as JSON does it; KQL escapes alike."""
    return json.dumps(value, ensure_ascii=False)
