"""Parquet files in bounded memory: a few bytes of one may stand for billions of values, or of characters.

A list of one value, and a text that is there often, take next to nothing in the file, and metadata says no
more than how many values, rows and bytes a row group has. So a batch gets as many rows as fit when all
values that the row group has above one per row lie in one row, and each text is as long as its longest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pt

from services.collections.sources.opened_parquet import OpenedParquet
from services.shown import shown

MOST_VALUES = 1 << 22
"""Of one column that are in memory together; the longest list known has thousands: a query's scores."""
MOST_BYTES = 1 << 26
"""Of one column that are in memory together."""
LONGEST_VALUE = 1 << 23
"""Bytes of one text, as of a line (`lines.LONGEST_LINE`); passages are far shorter."""
_UNPACKED = 32
"""How many bytes in memory a byte of the file may stand for where one row could hold most of a row group.
Ids and scores of honest lists take 2 to 10."""
_NUMBER = 8
TOO_LARGE_HINT = "write fewer rows per row group (pyarrow: row_group_size=1000), and cut long texts and lists"


class _Leaf(NamedTuple):
    """A column of single values in a row group: of a list, what is in the lists."""

    number: int
    path: str
    rows: int
    values: int
    width: int
    packed: int
    measurable: bool


def batches(source: OpenedParquet, most: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The rows of all row groups.

    Args:
        source: The file.
        most: Rows of a batch, at most.
        columns: What is read.

    Yields:
        Record batches; none holds more than `MOST_VALUES` values or `MOST_BYTES` bytes of a column. Of a row
        group that is large in the file too, lists of unlike lengths may hold more values than that.

    Raises:
        ValueError: a row, or a single value, is too large for that.
        OSError, pyarrow.ArrowException: the file is damaged.
    """
    file, size = source.file, source.path.stat().st_size
    texts = _texts(file, columns)
    once = source.with_texts_once(texts) if texts else file
    for group in range(file.metadata.num_row_groups):
        leaves = _leaves(file, group, columns, size)
        rows = _rows(leaves, most)
        measured = [_measured(once, group, leaf, rows) if leaf.measurable else leaf for leaf in leaves]
        for batch in file.iter_batches(_rows(measured, rows), row_groups=[group], columns=columns):
            yield from _pieces(batch)


def _rows(leaves: list[_Leaf], most: int) -> int:
    """How many rows of a row group are read together."""
    together = MOST_BYTES // max(1, sum(leaf.width > _NUMBER for leaf in leaves))
    for leaf in leaves:
        if leaf.width > LONGEST_VALUE:
            raise ValueError(
                f"column {shown(leaf.path)} has a value of {leaf.width:,} bytes; "
                f"at most {LONGEST_VALUE:,} are read"
            )
        if leaf.rows > leaf.values:
            raise ValueError(f"column {shown(leaf.path)} has fewer values than rows: the file is damaged")
        room = min(MOST_VALUES, MOST_BYTES // leaf.width)
        surplus = leaf.values - leaf.rows
        if not surplus:
            most = min(most, max(1, min(room, together // leaf.width)))
        elif surplus < room:
            most = min(most, room - surplus)
        elif leaf.values * leaf.width <= _UNPACKED * leaf.packed:
            most = min(most, max(1, room * leaf.rows // leaf.values))
        else:
            raise ValueError(
                f"a row of column {shown(leaf.path)} may hold {surplus + 1:,} values, {leaf.width:,} bytes "
                f"each; at most {room:,} are read"
            )
    return most


def _leaves(source: pq.ParquetFile, group: int, columns: list[str], size: int) -> list[_Leaf]:
    metadata = source.metadata.row_group(group)
    schemas = [source.schema.column(n) for n in range(metadata.num_columns)]
    wanted = [n for n, schema in enumerate(schemas) if metadata.num_rows and _is_of(schema.path, columns)]
    for n in wanted:
        # Of no rows: it opens the column and raises where metadata is damaged. `column` below would not
        # raise but end the process (an exception of C++ that nobody catches).
        deque(source.reader.iter_batches(0, [group], column_indices=[n]), maxlen=0)
    chunks = {n: metadata.column(n) for n in wanted}
    # Chunks may claim the same bytes.
    packed = min(sum(chunk.total_compressed_size for chunk in chunks.values()), size)
    found = []
    for n, chunk in chunks.items():
        schema = schemas[n]
        text = schema.physical_type == "BYTE_ARRAY"
        shared = "DELTA_BYTE_ARRAY" in chunk.encodings
        width = max(schema.length, _NUMBER, _text_width(chunk, shared=shared) if text else 0)
        found.append(
            _Leaf(n, schema.path, metadata.num_rows, chunk.num_values, width, packed, text and not shared)
        )
    return found


def _text_width(chunk: pq.ColumnChunkMetaData, *, shared: bool) -> int:
    """The mean; where texts share beginnings, or are packed like one text, what the longest may be."""
    size = int(chunk.total_uncompressed_size)
    far = shared or size > _UNPACKED * chunk.total_compressed_size
    return min(size, LONGEST_VALUE) if far else size // max(1, chunk.num_values)


def _measured(once: pq.ParquetFile, group: int, leaf: _Leaf, rows: int) -> _Leaf:
    """The leaf, as wide as the longest of its texts that are kept once (and of the first rows' others)."""
    for batch in once.reader.iter_batches(rows, [group], column_indices=[leaf.number]):
        column = batch.column(0)
        while pt.is_nested(column.type):
            column = column.field(0) if pt.is_struct(column.type) else column.values
        texts = column.dictionary if pt.is_dictionary(column.type) else column
        if len(texts):
            longest = pc.max(pc.binary_length(texts)).as_py() or 0
            return leaf._replace(width=max(leaf.width, longest))
    return leaf


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch, halved until no column of a piece is too large."""
    if all(column.nbytes <= MOST_BYTES for column in batch.columns):
        yield batch
        return
    if len(batch) == 1:
        raise ValueError(f"a row of {batch.nbytes:,} bytes; at most {MOST_BYTES:,} of a column are read")
    half = len(batch) // 2
    yield from _pieces(batch.slice(0, half))
    yield from _pieces(batch.slice(half))


def _texts(source: pq.ParquetFile, columns: list[str]) -> list[str]:
    leaves = [source.schema.column(n) for n in range(len(source.schema.names))]
    return [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY" and _is_of(leaf.path, columns)]


def _is_of(path: str, columns: list[str]) -> bool:
    """Whether a path such as `corpus_id.list.element` lies in one of the columns."""
    return any(path == name or path.startswith(f"{name}.") for name in columns)
