"""Columns of parquet by what they hold, however it is laid out: in dictionaries, views, lists of one size."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.types as pt


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type that such a column is cast to: every text a `large_string`, every list a `large_list`."""
    if pt.is_dictionary(kind):
        return plain_type(kind.value_type)
    if pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind):
        return pa.large_string()
    lists = (pt.is_list, pt.is_large_list, pt.is_fixed_size_list, pt.is_list_view, pt.is_large_list_view)
    return pa.large_list(plain_type(kind.value_type)) if any(one(kind) for one in lists) else kind


def value_type(kind: pa.DataType) -> pa.DataType:
    """Of a plain type, that of single values."""
    return kind.value_type if pt.is_large_list(kind) else kind


def is_id(kind: pa.DataType) -> bool:
    """Whether single values of a plain type can be ids."""
    return bool(pt.is_integer(kind) or pt.is_large_string(kind))
