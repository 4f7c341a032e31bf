"""Scores in parquet: `msmarco-scores-*` with lists (query_id, corpus_id[], score[]), or a row per pair.

A folder stands for all parquet files in it, as a published repository has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from services.collections.bad_row import BadRow
from services.collections.rows import JUDGED_PID_KEYS, JUDGED_QID_KEYS, LONGEST_ID
from services.collections.sources.lines import require_file
from services.collections.sources.opened_parquet import PARQUET_ERRORS, OpenedParquet, open_parquet
from services.collections.sources.plain_types import is_id, plain_type, value_type
from services.collections.sources.row_groups import TOO_LARGE_HINT, batches
from services.errors import InputError, first_line
from services.imports.scored import BadScores, Id, Ints, QueryScores, Read, ScoresFile, ScoresFormat
from services.shown import listed, shown
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
    opened = [open_parquet(one) for one in files]
    columns = [_columns(source) for source in opened]
    lists = [_check_types(source, names) for source, names in zip(opened, columns, strict=True)]
    if any(lists) and not all(lists):
        raise InputError(
            f"{files[lists.index(True)]} has lists per query, {files[lists.index(False)]} a row per pair",
            hint=f"name one of the subsets: a file, or a folder within {file}",
        )
    return ScoresFile("row", whole=lists[0], rows=_rows(opened, columns, read, lists=lists[0]))


def _files(file: Path) -> list[Path]:
    """The file itself; of a folder, its parquet files."""
    if not file.is_dir():
        return [require_file(file)]
    found = [one for one in visible_files(file) if one.suffix == ".parquet"]
    if not found:
        raise InputError(f"{file}: no parquet file in the folder", hint="name a file or a folder of files")
    return found


def _columns(source: OpenedParquet) -> list[str]:
    names = source.names
    found = [
        next((key for key in keys if key in names), None)
        for keys in (JUDGED_QID_KEYS, JUDGED_PID_KEYS, _SCORE_KEYS)
    ]
    if None in found:
        raise InputError(
            f"{source.path}: its columns are {listed(names)}, which are no scores",
            hint=f"a file of scores has {_LAYOUT}",
        )
    return [name for name in found if name is not None]


def _check_types(source: OpenedParquet, names: list[str]) -> bool:
    """Whether the columns are lists; InputError where they can be no scores."""
    schema = source.schema
    qid, pid, score = (plain_type(schema.field(name).type) for name in names)
    lists = bool(pt.is_nested(pid) and pt.is_nested(score))
    if lists:
        pid, score = value_type(pid), value_type(score)
    fits = is_id(qid) and is_id(pid) and (pt.is_floating(score) or pt.is_integer(score))
    if not fits:
        found = ", ".join(f"{name} {schema.field(name).type}" for name in names)
        raise InputError(
            f"{source.path}: {found}: these types are no scores",
            hint=f"ids are integers or strings, scores floats: {_LAYOUT}",
        )
    return lists


def _rows(
    opened: list[OpenedParquet], columns: list[list[str]], read: Read, *, lists: bool
) -> Iterator[QueryScores | BadScores]:
    total = max(1, sum(source.rows for source in opened))
    row = 1
    for source, names in zip(opened, columns, strict=True):
        try:
            for batch in batches(source, _BATCH, names):
                arrays = [column.cast(plain_type(column.type)) for column in map(batch.column, names)]
                yield from _of_lists(arrays, row) if lists else _of_pairs(arrays, row)
                row += len(batch)
                read(row / total)
        except PARQUET_ERRORS as error:
            raise InputError(
                f"{source.path}: row {row:,} or later cannot be read: {first_line(error)}",
                hint="the file is damaged: fetch it again",
            ) from error
        except ValueError as error:
            raise InputError(f"{source.path}: row {row:,} or later: {error}", hint=TOO_LARGE_HINT) from error


def _of_lists(columns: list[pa.Array], row: int) -> Iterator[QueryScores | BadScores]:
    qids, pid_lists, score_lists = columns
    for n, qid in enumerate(qids.to_pylist()):
        pids, scores = pid_lists[n].values, score_lists[n].values
        yield _checked(qid, pids, scores, row + n)


def _of_pairs(columns: list[pa.Array], row: int) -> Iterator[QueryScores | BadScores]:
    """Neighbouring rows of one query together; a row that is wrong alone."""
    qids, pids, scores = columns
    names = qids.to_pylist()
    wrong = np.asarray(pids.is_null()) | ~np.isfinite(_numbers(scores)) | _too_long(pids)
    changes = [n for n in range(1, len(names)) if names[n] != names[n - 1] or wrong[n] or wrong[n - 1]]
    for lo, hi in zip([0, *changes], [*changes, len(names)], strict=True):
        yield _checked(names[lo], pids.slice(lo, hi - lo), scores.slice(lo, hi - lo), row + lo)


def _checked(
    qid: Id | None, pids: pa.Array | None, scores: pa.Array | None, place: int
) -> QueryScores | BadScores:
    if qid is None or pids is None or scores is None or pids.null_count or scores.null_count:
        return BadScores(place, BadRow("something in the row is null", "give every row ids and a score"))
    if len(str(qid)) > LONGEST_ID or _too_long(pids).any():
        return BadScores(place, BadRow(f"an id of more than {LONGEST_ID} bytes", "is it a file of scores?"))
    if len(pids) != len(scores):
        found = f"query {shown(qid)}: {len(pids):,} passages and {len(scores):,} scores"
        return BadScores(place, BadRow(found, "give every passage a score"))
    numbers = _numbers(scores)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        pid = pids[int(bad[0])].as_py()
        found = f"query {shown(qid)}, passage {shown(pid)}: score {numbers[bad[0]]} is no finite number"
        if len(pids) > 1:
            found += f"; the query's whole list of {len(pids):,} goes with it"
        return BadScores(place, BadRow(found, "leave the pair out, or score it again"))
    return QueryScores(qid, _ids(pids), numbers, place)


def _too_long(pids: pa.Array) -> npt.NDArray[np.bool_]:
    if not pt.is_large_string(pids.type):
        return np.zeros(len(pids), np.bool_)
    return np.asarray(pc.binary_length(pids).fill_null(0)) > LONGEST_ID


def _numbers(scores: pa.Array) -> npt.NDArray[np.float64]:
    """The scores; NaN where there is none."""
    return np.asarray(scores.to_numpy(zero_copy_only=False), np.float64)


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
