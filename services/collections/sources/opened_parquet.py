"""Opening parquet files that others made: what the library stumbles over becomes an error of ours."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from services.errors import InputError, first_line
from services.shown import shown

PARQUET_ERRORS = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What the library raises of a file that is damaged, or of types that it does not know."""


@dataclass(frozen=True)
class OpenedParquet:
    """A parquet file whose footer has been read.

    Attributes:
        path: The file.
        file: What reads it.
    """

    path: Path
    file: pq.ParquetFile

    @classmethod
    def of(cls, path: Path) -> OpenedParquet:
        """Open a file; raises `PARQUET_ERRORS`."""
        return cls(path, _file(path))

    def with_texts_once(self, columns: list[str]) -> pq.ParquetFile:
        """What reads it and keeps each text of these columns, named by their paths, once."""
        return _file(self.path, read_dictionary=columns)

    @property
    def schema(self) -> pa.Schema:
        """The types of its columns, in the order of the file."""
        return self.file.schema_arrow

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return list(self.schema.names)

    @property
    def rows(self) -> int:
        """How many it says that it has."""
        return int(self.file.metadata.num_rows)


def _file(path: Path, **options: Any) -> pq.ParquetFile:
    # Page by page: else each column of a row group that is read is in memory as it lies in the file.
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20, **options)


def open_parquet(path: Path, label: Path | None = None) -> OpenedParquet:
    """Open a file whose columns can be told apart.

    Args:
        path: The file.
        label: How messages name it, if not by its path.

    Raises:
        InputError: it is no parquet file, is damaged, or has two columns of one name.
    """
    label = label or path
    try:
        opened = OpenedParquet.of(path)
        counts = Counter(opened.names)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{label}: the name of a column is broken UTF-8: {error.reason}", hint="write names as UTF-8"
        ) from error
    except PARQUET_ERRORS as error:
        raise InputError(
            f"{label}: no parquet file, or a damaged one: {first_line(error)}",
            hint="fetch it again, or name it after its format (.tsv, .jsonl)",
        ) from error
    twice = next((name for name, count in counts.items() if count > 1), None)
    if twice is not None:
        raise InputError(f"{label}: has two columns {shown(twice)}", hint="write each column once")
    return opened
