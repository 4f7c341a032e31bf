"""Long texts: what is in memory together is bounded by bytes, whatever the rows of a block are."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from export_kit import export, small

from services.collections import collection as collections
from services.collections.sources import row_groups
from services.exports import format as formats
from services.exports import shards
from services.exports.verify import verify
from services.mining import shingles
from tests.unit.small_collection import make, update
from tests.unit.small_runs import save_run

_MOST = 250


@pytest.mark.parametrize("name", ["triplet-all", "n-tuple-scores", "labeled-pair", "msmarco"])
def test_a_row_group_has_so_many_bytes_or_one_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(shards, "GROUP_BYTES", _MOST)
    options = {"num-negatives": 1} if name == "n-tuple-scores" else {}
    export(small(tmp_path), name, tmp_path / "out", options=options)
    sizes = []
    for path in (tmp_path / "out").rglob("*.parquet"):
        file = pq.ParquetFile(path)
        for n in range(file.num_row_groups):
            rows = file.read_row_group(n)
            sizes.append((len(rows), sum(map(held, rows.to_pylist()))))
    assert all(rows == 1 or size <= _MOST for rows, size in sizes)
    assert len(sizes) > 1
    assert name == "n-tuple-scores" or any(rows > 1 for rows, _ in sizes)


def test_lists_are_written_so_that_the_same_tool_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "GROUP_BYTES", _MOST)
    monkeypatch.setattr(row_groups, "MOST_BYTES", 2 * _MOST)
    pids = [f"p{n}" for n in range(20)] + ["a-title-" * 6]
    collection = make(
        tmp_path,
        passages={pid: f"text {n} {n * n}" for n, pid in enumerate(pids)},
        queries={"train": {f"q{n}": f"what {n}" for n in range(30)}},
        qrels={"train": [(f"q{n}", "p0", 1) for n in range(30)]},
    )
    save_run(collection, "bm25", {f"q{n}": [pids[-1], "p1"] for n in range(30)})
    export(collection, "msmarco", tmp_path / "out")
    assert verify(tmp_path / "out", collection).ok


def held(row: dict[str, object]) -> int:
    """Bytes of a row in memory: its strings, and eight for a number."""
    values = [one for value in row.values() for one in (value if isinstance(value, list) else [value])]
    return sum(len(value.encode()) if isinstance(value, str) else 8 for value in values)


@pytest.mark.parametrize("name", ["flagembedding", "tevatron", "beir"])
def test_lines_are_written_in_pieces_and_read_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    collection = small(tmp_path)
    whole = export(collection, name, tmp_path / "whole")
    monkeypatch.setattr(formats, "PIECE", 1)
    pieces = export(collection, name, tmp_path / "pieces")
    assert [(file.rows, file.sha256) for file in pieces.files] == [
        (file.rows, file.sha256) for file in whole.files
    ]


def test_parts_that_updates_left_are_read_together_while_they_are_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = small(tmp_path)
    for n in range(3):
        collection = update(tmp_path, passages={f"new{n}": f"text {n}"})
    assert len(collection.state.passages) == 4
    assert collection.passage_ranges == [(0, 9)]
    whole = export(collection, "beir", tmp_path / "whole")
    monkeypatch.setattr(collections, "_RANGE_BYTES", 1)
    assert collection.passage_ranges == [(0, 6), (6, 7), (7, 8), (8, 9)]
    parts = export(collection, "beir", tmp_path / "parts")
    assert [file.sha256 for file in parts.files] == [file.sha256 for file in whole.files]


def test_near_copies_are_the_same_however_many_are_compared_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = [f"word{n}" for n in (*range(12), *range(9))]
    texts = [" ".join(words[lo:hi]) for lo, hi in product(range(4), range(10, len(words) + 1))]
    found = shingles.Shingled.of([shingles.sketch(text) for text in texts])
    one, other = (grid.ravel() for grid in np.indices((len(texts), len(texts))))
    near = shingles.near_copies(found, one, other)
    assert 0 < near.sum() < len(near)
    monkeypatch.setattr(shingles, "_AT_ONCE", 1)
    assert (shingles.near_copies(found, one, other) == near).all()
