"""Parquet that others made: a few bytes of it neither end the process nor fill the memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.errors import InputError
from tests.unit.scores_kit import INTEGERS, collection, imported


def _written(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path, compression="zstd")
    return path


def _patched(path: Path, before: bytes, after: bytes) -> Path:
    """A file one place of which has other bytes."""
    content = path.read_bytes()
    assert content.count(before) == 1
    path.write_bytes(content.replace(before, after))
    return path


_READS = """
import resource, sys
from pathlib import Path
from services.collections.sources.opened_parquet import open_parquet
from services.collections.sources.row_groups import batches

found = open_parquet(Path(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    for batch in batches(found, 4096, found.names):
        pass
    print("read")
except Exception as error:
    print(type(error).__name__, error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def _read_in_a_child(path: Path) -> tuple[str, int]:
    """What reading all rows came to, and the megabytes that it took; a child, because it may be killed."""
    done = subprocess.run(
        [sys.executable, "-c", _READS, path], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    said, megabytes = done.stdout.splitlines()
    return said, int(megabytes)


def test_a_footer_that_ends_a_process_of_the_library_is_an_error(tmp_path: Path) -> None:
    path = _written(tmp_path / "scores.parquet", query_id=[5], corpus_id=[10], score=[1.0])
    # a column becomes a required one, so that statistics of its levels do not fit it any more
    _patched(path, b"\x25\x02\x18\x08query_id", b"\x25\x00\x18\x08query_id")
    said, _ = _read_in_a_child(path)
    assert said.startswith("OSError")
    assert "histogram" in said
    opened = collection(tmp_path, INTEGERS)
    with pytest.raises(InputError, match=r"scores.parquet: row 1 or later cannot be read"):
        imported(opened, path, "scores-parquet")


def test_a_long_text_that_is_there_often_takes_little_memory(tmp_path: Path) -> None:
    path = _written(tmp_path / "often.parquet", query_id=["q" * 1_000_000] * 2000, corpus_id=["d"] * 2000)
    assert path.stat().st_size < 10_000
    said, megabytes = _read_in_a_child(path)
    assert said == "read"
    assert megabytes < 800  # all of them: 2,000 MB


def test_a_long_text_behind_many_that_are_null_takes_little_memory(tmp_path: Path) -> None:
    path = _written(tmp_path / "late.parquet", query_id=[None] * 5000 + ["q" * 1_000_000] * 2000)
    said, megabytes = _read_in_a_child(path)
    assert said == "read"
    assert megabytes < 800


def test_texts_that_share_how_they_begin_take_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "shared.parquet"
    table = pa.table({"query_id": ["q" * 1_000_000] * 2000})
    pq.write_table(
        table,
        path,
        use_dictionary=False,
        column_encoding={"query_id": "DELTA_BYTE_ARRAY"},
        compression="zstd",
    )
    assert path.stat().st_size < 100_000
    said, megabytes = _read_in_a_child(path)
    assert said == "read"
    assert megabytes < 800


def test_one_list_of_millions_among_short_ones_is_refused(tmp_path: Path) -> None:
    lists = pa.array([[7]] * 4095 + [[7] * 5_000_000])
    path = _written(tmp_path / "skew.parquet", query_id=range(4096), corpus_id=lists)
    assert path.stat().st_size < 100_000
    said, megabytes = _read_in_a_child(path)
    assert said.startswith("ValueError a row of column 'corpus_id.list.element' may hold 5,000,000 values")
    assert megabytes < 50


def test_a_large_row_group_of_honest_lists_is_read(tmp_path: Path) -> None:
    ids = pa.array(range(6_000_000))
    lists = pa.ListArray.from_arrays(pa.array(range(0, 6_000_001, 100), pa.int32()), ids)
    path = _written(tmp_path / "large.parquet", query_id=range(60_000), corpus_id=lists)
    assert pq.ParquetFile(path).num_row_groups == 1
    assert _read_in_a_child(path)[0] == "read"


def test_a_value_of_many_megabytes_is_refused(tmp_path: Path) -> None:
    path = _written(tmp_path / "giant.parquet", query_id=["q" * 9_000_000, "r"])
    assert "'query_id' has a value of 9,000,000 bytes" in _read_in_a_child(path)[0]
