"""Blocks of queries of which nothing is left, at the beginning, in the middle and at the end of an export."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
from export_kit import export, loaded
from small_collection import make
from small_runs import save_run
from small_scores import save_scores

from services.exports import shards
from services.exports.registry import FORMATS

ROWS = {
    "triplet": 1, "triplet-all": 2, "triplet-hard": 2, "triplet-all-ids": 2,
    "n-tuple": 1, "n-tuple-scores": 1, "margin-mse": 1, "kldiv": 1,
}  # fmt: skip
"""Of a query with one positive and two negatives."""


@pytest.fixture
def collection(tmp_path, monkeypatch):
    """Five queries, a block each; the second and the fourth alone have negatives."""
    monkeypatch.setattr("services.negatives.reader.BLOCK", 1)
    qids, negatives = [str(n) for n in range(1, 6)], ["101", "102"]
    made = make(
        tmp_path, passages={str(100 + n): f"text {n}" for n in range(9)},
        queries={"train": {qid: f"query {qid}" for qid in qids}},
        qrels={"train": [(qid, "108", 1) for qid in qids]},
    )  # fmt: skip
    save_run(made, "bm25", {"2": negatives, "4": negatives})
    scores = {(qid, pid): -float(pid) for qid in ("2", "4") for pid in negatives}
    save_scores(made, scores | {(qid, "108"): 9.0 for qid in qids})
    return made


@pytest.mark.parametrize("name", ROWS)
def test_blocks_without_a_row_leave_the_others_as_they_are(tmp_path, collection, name):
    export(collection, name, tmp_path / "out", options={option.name: 2 for option in FORMATS[name].options})
    queries = [str(row["query"])[-1] for row in loaded(tmp_path / "out", name)]
    assert queries == ["2"] * ROWS[name] + ["4"] * ROWS[name]


@pytest.mark.parametrize("name", ROWS)
def test_a_shard_without_a_row_has_the_types_of_the_others(tmp_path, collection, monkeypatch, name):
    monkeypatch.setattr(shards, "SHARD_BYTES", 1)
    export(collection, name, tmp_path / "out", options={option.name: 2 for option in FORMATS[name].options})
    schemas = [pq.read_schema(path) for path in sorted((tmp_path / "out" / name).glob("train-*"))]
    assert len(schemas) == 5
    assert schemas == [schemas[0]] * 5
