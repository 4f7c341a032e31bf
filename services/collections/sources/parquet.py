"""Parquet files; the "line" of a row is its 1-based number."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from services.collections.bad_row import BadRow
from services.collections.sources.lines import compression, open_plain, require_file
from services.collections.sources.source import Numbered, Source
from services.errors import InputError
from services.store.fingerprint import file_sha256

_BATCH = 4096


class ParquetSource(Source):
    """Rows of a parquet file with the same column names as the keys of jsonl."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.label = str(path)
        self.size = require_file(path).stat().st_size

    def identity(self) -> list[str]:
        """Class and sha256."""
        return [type(self).__name__, file_sha256(self.path)]

    def records(self) -> Iterator[Numbered]:
        """See `Source.records`."""
        number = 0
        with _plain_file(self.path) as plain:
            try:
                file = pq.ParquetFile(plain)
                for batch in file.iter_batches(_BATCH):
                    for value in _rows(batch):
                        number += 1
                        yield number, value
                    self.done = self.size * number // max(1, file.metadata.num_rows)
            except (pa.ArrowException, OSError) as error:
                raise InputError(
                    f"{self.path}:{number + 1}: not a (whole) parquet file: {error}",
                    hint="fetch it again, or name it after its format (.tsv, .jsonl)",
                ) from error


def _rows(batch: pa.RecordBatch) -> list[dict[str, Any] | BadRow]:
    try:
        return list(batch.to_pylist())
    except UnicodeDecodeError:
        return [_row(batch.slice(i, 1)) for i in range(batch.num_rows)]


def _row(batch: pa.RecordBatch) -> dict[str, Any] | BadRow:
    try:
        row: dict[str, Any] = batch.to_pylist()[0]
    except UnicodeDecodeError as error:
        return BadRow(f"broken UTF-8: {error.reason}", "write the column as UTF-8")
    return row


@contextmanager
def _plain_file(path: Path) -> Iterator[Path]:
    """The file itself, or a decompressed copy of it (parquet is read from its end)."""
    if compression(path) is None:
        yield path
        return
    with tempfile.NamedTemporaryFile(suffix=".parquet") as copy:
        try:
            with open_plain(path) as (stream, _):
                shutil.copyfileobj(stream, copy)
        except OSError as error:
            raise InputError(
                f"{path}:1: the compressed file is damaged: {error}", hint="fetch it again"
            ) from error
        copy.flush()
        yield Path(copy.name)
