"""How many rows of a parquet file fit into memory: a few bytes of it may stand for billions of values."""

from __future__ import annotations

import pyarrow.parquet as pq

MOST_VALUES = 1 << 22
"""Of the lists in the rows that are in memory together; the longest known has thousands: a query's scores."""


def rows_at_a_time(source: pq.ParquetFile, most: int) -> int:
    """The size of batches, `most` or fewer.

    Raises:
        ValueError: the rows of a row group hold more than that each.
    """
    metadata = source.metadata
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        values = max((group.column(n).num_values for n in range(group.num_columns)), default=0)
        each = -(-values // max(1, group.num_rows))
        if each > MOST_VALUES:
            raise ValueError(f"rows of {each:,} values each; at most {MOST_VALUES:,} are read")
        most = min(most, MOST_VALUES // max(1, each))
    return most
