"""Parquet files; the "line" of a row is its 1-based number."""

from __future__ import annotations

import io
import re
import tempfile
import zoneinfo
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from services.collections import rows
from services.collections.bad_row import BadRow
from services.collections.sources.lines import FOLDER_HINT, compression, open_plain, require_file
from services.collections.sources.opened_parquet import PARQUET_ERRORS, open_parquet
from services.collections.sources.row_groups import TOO_LARGE_HINT, batches
from services.collections.sources.source import Numbered, Source
from services.errors import InputError, first_line
from services.shown import listed, shown
from services.spill import spilling
from services.store.fingerprint import file_sha256

_BATCH = 4096
_MAGIC = b"PAR1"
_OFFSET = re.compile(r"[+-]\d\d:?\d\d")
_KEYS = frozenset(
    (*rows.PID_KEYS, *rows.QID_KEYS, *rows.JUDGED_QID_KEYS, *rows.JUDGED_PID_KEYS, *rows.GRADE_KEYS)
) | {"title", "text", "query", "metadata"}


class ParquetSource(Source):
    """Rows of a parquet file with the same column names as the keys of jsonl.

    Args:
        path: The file.
        fields: Columns that are read besides the known ones, the rest is not looked at; None: all are.
    """

    def __init__(self, path: Path, fields: Collection[str] | None = None) -> None:
        self.path = path
        self.label = str(path)
        self.size = require_file(path, FOLDER_HINT).stat().st_size
        self._wanted = None if fields is None else _KEYS.union(fields)

    def identity(self) -> list[str]:
        """Class and sha256."""
        return [type(self).__name__, file_sha256(self.path)]

    def records(self) -> Iterator[Numbered]:
        """See `Source.records`."""
        number = 0
        with _plain_file(self.path) as plain:
            opened = open_parquet(plain, self.path)
            columns = self._columns(opened.names)
            try:
                for batch in batches(opened, _BATCH, columns):
                    for value in _rows(batch):
                        number += 1
                        yield number, value
                    self.done = self.size * number // max(1, opened.rows)
            except PARQUET_ERRORS as error:
                raise InputError(
                    f"{self.path}:{number + 1}: not a (whole) parquet file: {first_line(error)}",
                    hint="fetch it again",
                ) from error
            except ValueError as error:
                raise InputError(f"{self.path}:{number + 1}: {error}", hint=TOO_LARGE_HINT) from error

    def _columns(self, names: list[str]) -> list[str]:
        columns = [name for name in names if self._wanted is None or name in self._wanted]
        if not columns:
            raise InputError(
                f"{self.path}: none of its columns is known: {listed(names)}",
                hint="name them as the keys of .jsonl are: pid, title, text; qid, text; qid, pid, grade",
            )
        return columns


def _rows(batch: pa.RecordBatch) -> list[dict[str, Any] | BadRow]:
    try:
        return list(batch.to_pylist())
    except (ValueError, OverflowError, KeyError):  # KeyError: of a time zone
        return [_row(batch.slice(i, 1)) for i in range(batch.num_rows)]


def _row(batch: pa.RecordBatch) -> dict[str, Any] | BadRow:
    """One row, cell by cell: which column holds broken UTF-8, or a date that Python has not."""
    row: dict[str, Any] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            row[name] = column[0].as_py()
        except UnicodeDecodeError as error:
            return BadRow(f"broken UTF-8 in column '{name}': {error.reason}", "write the column as UTF-8")
        except (ValueError, OverflowError, KeyError) as error:
            zone = _unknown_zone(column.type)
            if zone is not None:
                return BadRow(
                    f"column '{name}' is in the time zone {shown(zone)}, which is not known",
                    "write its times in UTC",
                )
            return BadRow(
                f"column '{name}' is out of range: {first_line(error)}", "mend the value or leave it out"
            )
    return row


def _unknown_zone(kind: pa.DataType) -> str | None:
    """The time zone of a type, if nobody here knows it."""
    zone: str | None = kind.tz if pt.is_timestamp(kind) else None
    try:
        return None if zone is None or _OFFSET.fullmatch(zone) or zoneinfo.ZoneInfo(zone) else zone
    except (KeyError, ValueError, OSError):
        return zone


@contextmanager
def _plain_file(path: Path) -> Iterator[Path]:
    """The file itself, or a decompressed copy of it (parquet is read from its end)."""
    if compression(path) is None:
        yield path
        return
    with tempfile.NamedTemporaryFile(suffix=".parquet") as copy:
        try:
            with open_plain(path) as (stream, _):
                _require_magic(path, stream)
                while block := stream.read(1 << 20):
                    with spilling():
                        copy.write(block)
        except OSError as error:
            raise InputError(
                f"{path}:1: the compressed file is damaged: {error}", hint="fetch it again"
            ) from error
        with spilling():
            copy.flush()
        yield Path(copy.name)


def _require_magic(path: Path, stream: io.BufferedReader) -> None:
    """Before all of it is unpacked, which may be a thousand times as much."""
    if stream.peek(len(_MAGIC))[: len(_MAGIC)] != _MAGIC:
        raise InputError(
            f"{path}:1: not a parquet file, when unpacked",
            hint="fetch it again, or name it after its format (.tsv, .jsonl)",
        )
