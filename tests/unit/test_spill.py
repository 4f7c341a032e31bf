"""Temporary files where there is no room for them: the error names the folder and what to set."""

from __future__ import annotations

import pickle
import resource
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from services.collections.bad_row import BadRow, Rejects
from services.errors import MsmError
from services.imports.pickle_scores import read_pickle_scores
from services.imports.run_sorter import RunSorter
from services.scoring.score_parts import ScoreSorter, Triples
from services.spill import append_records, spool
from tests.unit.import_kit import collection

ROWS = 1 << 16


@contextmanager
def _little_room() -> Iterator[None]:
    """No file grows beyond 64 kB: writes fail as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _sort_run(folder: Path) -> None:
    zeros = np.zeros(ROWS, np.int32)
    with RunSorter(collection(folder), "theirs.run", Rejects(None)) as sorter, _little_room():
        sorter.add(zeros, zeros, zeros.astype(np.float64), zeros.astype(np.int64))


def _sort_scores(folder: Path) -> None:
    zeros = np.zeros(ROWS, np.int32)
    with ScoreSorter(4, lambda qord, ord_: "") as sorter, _little_room():
        sorter.add(Triples(zeros, zeros, zeros.astype(np.float32)))
        list(sorter.sorted())


def _read_pickle(folder: Path) -> None:
    path = folder / "scores.pkl"
    path.write_bytes(pickle.dumps({1: {f"a passage of some name {n}": 0.5 for n in range(1 << 17)}}))
    with _little_room():
        list(read_pickle_scores(path))


def _reject_rows(folder: Path) -> None:
    with _little_room(), spool() as stream:
        rejects = Rejects(stream)
        for n in range(ROWS):
            rejects.add("file", n, BadRow("found", "remedy"))


@pytest.mark.parametrize("write", [_sort_run, _sort_scores, _read_pickle, _reject_rows])
def test_a_full_temporary_folder_is_named(tmp_path: Path, write: Callable[[Path], None]) -> None:
    with pytest.raises(MsmError) as error:
        write(tmp_path)
    assert f"temporary folder {tempfile.gettempdir()}: " in error.value.message
    assert "TMPDIR" in (error.value.hint or "")


def test_the_reason_is_the_systems(tmp_path: Path) -> None:
    (tmp_path / "full").symlink_to("/dev/full")
    with pytest.raises(MsmError, match="No space left on device"):
        append_records(tmp_path / "full", np.zeros(1 << 16))


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    kind = np.dtype([("a", np.int32), ("b", np.float64)])
    records = np.array([(1, 0.5), (2, 1.5), (3, 2.5)], kind)
    append_records(tmp_path / "r", records[:2])
    append_records(tmp_path / "r", records[[2]])
    assert np.fromfile(tmp_path / "r", kind).tolist() == records.tolist()
