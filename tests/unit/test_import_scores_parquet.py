"""Scores in parquet: of which columns and types they may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.errors import InputError
from tests.unit.scores_kit import INTEGERS, collection, imported


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"query_id": [5], "corpus_id": [[10, 11]], "score": [[1.0]]}, "2 passages and 1 scores"),
        ({"query_id": [5], "corpus_id": [[10]], "score": [[float("nan")]]}, "no finite number"),
        ({"query_id": [5, None], "corpus_id": [10, 11], "score": [1.0, 2.0]}, "row 2: something in the row"),
        ({"query_id": [5], "corpus_id": [[10, None]], "score": [[1.0, 2.0]]}, "row 1: something in the row"),
        ({"query_id": [5], "corpus_id": [10], "score": ["1.0"]}, "these types are no scores"),
        ({"query_id": [5], "corpus_id": [[10]], "score": [1.0]}, "these types are no scores"),
        ({"query_id": [5], "text": ["x"]}, "its columns are query_id, text"),
    ],
)
def test_broken_parquet_is_named(tmp_path: Path, columns: dict[str, Any], says: str) -> None:
    opened = collection(tmp_path, INTEGERS)
    path = tmp_path / "scores.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(InputError) as error:
        imported(opened, path, "scores-parquet")
    assert says in error.value.message


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    opened = collection(tmp_path, INTEGERS)
    path = tmp_path / "scores.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="no parquet file, or a damaged one"):
        imported(opened, path, "scores-parquet")
