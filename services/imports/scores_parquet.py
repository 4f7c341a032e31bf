"""Scores in parquet: `msmarco-scores-*` with lists (query_id, corpus_id[], score[]), or a row per pair.

A folder stands for all parquet files in it, as a published repository has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from services.collections.bad_row import BadRow
from services.collections.rows import JUDGED_PID_KEYS, JUDGED_QID_KEYS
from services.collections.sources.lines import require_file
from services.collections.sources.plain_types import is_id, plain_type, value_type
from services.collections.sources.row_groups import rows_at_a_time
from services.errors import InputError, first_line
from services.imports.scored import BadScores, Id, Ints, QueryScores, Read, ScoresFile, ScoresFormat
from services.visible import visible_files

_BATCH = 4096
_SCORE_KEYS = ("score", "scores", "ce_score")
_LAYOUT = "query_id, corpus_id and score, as lists per query or a row per pair"


def open_scores_parquet(file: Path, read: Read) -> ScoresFile:
    """A file, or a folder of files whose rows are counted through.

    Raises:
        InputError: it is no parquet file, or its columns are no scores.
    """
    files = _files(file)
    opened = [_open(one) for one in files]
    columns = [_columns(one, source) for one, source in zip(files, opened, strict=True)]
    lists = pt.is_nested(plain_type(opened[0].schema_arrow.field(columns[0][1]).type))
    for one, source, names in zip(files, opened, columns, strict=True):
        _check_types(one, source.schema_arrow, names, lists=lists)
    return ScoresFile("row", whole=lists, rows=_rows(files, opened, columns, read, lists=lists))


def _files(file: Path) -> list[Path]:
    """The file itself; of a folder, its parquet files."""
    if not file.is_dir():
        return [require_file(file)]
    found = [one for one in visible_files(file) if one.suffix == ".parquet"]
    if not found:
        raise InputError(f"{file}: no parquet file in the folder", hint="name a file or a folder of files")
    return found


def _open(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(
            f"{file}: no parquet file, or a damaged one: {first_line(error)}", hint="fetch it again"
        ) from error


def _columns(file: Path, source: pq.ParquetFile) -> list[str]:
    names = source.schema_arrow.names
    found = [
        next((key for key in keys if key in names), None)
        for keys in (JUDGED_QID_KEYS, JUDGED_PID_KEYS, _SCORE_KEYS)
    ]
    if None in found:
        raise InputError(
            f"{file}: its columns are {', '.join(names)[:200]}, which are no scores",
            hint=f"a file of scores has {_LAYOUT}",
        )
    return [name for name in found if name is not None]


def _check_types(file: Path, schema: pa.Schema, names: list[str], *, lists: bool) -> None:
    qid, pid, score = (plain_type(schema.field(name).type) for name in names)
    if lists and pt.is_nested(pid) and pt.is_nested(score):
        pid, score = value_type(pid), value_type(score)
    fits = is_id(qid) and is_id(pid) and (pt.is_floating(score) or pt.is_integer(score))
    if not fits:
        found = ", ".join(f"{name} {schema.field(name).type}" for name in names)
        raise InputError(
            f"{file}: {found}: these types are no scores",
            hint=f"ids are integers or strings, scores floats: {_LAYOUT}",
        )


def _rows(
    files: list[Path], opened: list[pq.ParquetFile], columns: list[list[str]], read: Read, *, lists: bool
) -> Iterator[QueryScores | BadScores]:
    total = max(1, sum(source.metadata.num_rows for source in opened))
    row = 1
    for file, source, names in zip(files, opened, columns, strict=True):
        try:
            size = rows_at_a_time(source, _BATCH)
        except ValueError as error:
            raise InputError(f"{file}: {error}", hint="write a row per query, or per pair") from None
        try:
            for batch in source.iter_batches(size, columns=names):
                arrays = [column.cast(plain_type(column.type)) for column in map(batch.column, names)]
                yield from _of_lists(arrays, row) if lists else _of_pairs(arrays, row)
                row += len(batch)
                read(row / total)
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            raise InputError(
                f"{file}: row {row:,} or later cannot be read: {first_line(error)}",
                hint="the file is damaged: fetch it again",
            ) from error


def _of_lists(columns: list[pa.Array], row: int) -> Iterator[QueryScores | BadScores]:
    qids, pid_lists, score_lists = columns
    for n, qid in enumerate(qids.to_pylist()):
        pids, scores = pid_lists[n].values, score_lists[n].values
        yield _checked(qid, pids, scores, row + n)


def _of_pairs(columns: list[pa.Array], row: int) -> Iterator[QueryScores | BadScores]:
    """Neighbouring rows of one query together; a row with something missing alone."""
    qids, pids, scores = columns
    names = qids.to_pylist()
    missing = np.asarray(pids.is_null()) | np.asarray(scores.is_null())
    changes = [n for n in range(1, len(names)) if names[n] != names[n - 1] or missing[n] or missing[n - 1]]
    for lo, hi in zip([0, *changes], [*changes, len(names)], strict=True):
        yield _checked(names[lo], pids.slice(lo, hi - lo), scores.slice(lo, hi - lo), row + lo)


def _checked(
    qid: Id | None, pids: pa.Array | None, scores: pa.Array | None, place: int
) -> QueryScores | BadScores:
    if qid is None or pids is None or scores is None or pids.null_count or scores.null_count:
        return BadScores(place, BadRow("something in the row is null", "give every row ids and a score"))
    if len(pids) != len(scores):
        found = f"query {qid}: {len(pids):,} passages and {len(scores):,} scores"
        return BadScores(place, BadRow(found, "give every passage a score"))
    numbers = scores.to_numpy(zero_copy_only=False).astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        found = f"query {qid}, passage {pids[int(bad[0])]}: score {numbers[bad[0]]} is no finite number"
        return BadScores(place, BadRow(found, "leave the pair out, or score it again"))
    return QueryScores(qid, _ids(pids), numbers, place)


def _ids(pids: pa.Array) -> Ints | list[str]:
    if pt.is_integer(pids.type) and not pt.is_uint64(pids.type):
        integers: Ints = pids.to_numpy(zero_copy_only=False).astype(np.int64)
        return integers
    return [str(pid) for pid in pids.to_pylist()]


SCORES_PARQUET = ScoresFormat(
    name="scores-parquet",
    help="Parquet of query_id, corpus_id, score, as lists per query or a row per pair; a file or a folder.",
    example="scores.parquet",
    open=open_scores_parquet,
)
