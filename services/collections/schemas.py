"""Columns of a collection's rows and their types; what they mean is said where the state is."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from services.collections.fields import ARROW
from services.collections.state import FieldType

QUERIES = pa.schema(
    [
        pa.field("qord", pa.int32(), nullable=False),
        pa.field("qid", pa.string()),
        pa.field("text", pa.string()),
    ]
)


def passages_schema(fields: Mapping[str, FieldType]) -> pa.Schema:
    """Of passages with this metadata."""
    return pa.schema(
        [
            pa.field("ord", pa.int32(), nullable=False),
            *(pa.field(name, pa.string()) for name in ("pid", "title", "text")),
            *(pa.field(f"meta.{name}", ARROW[kind]) for name, kind in fields.items()),
        ]
    )
