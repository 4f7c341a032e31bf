"""Scores in every format that is imported, and what is stored of them."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from services.collections.collection import Collection
from services.imports.registry import SCORES
from services.imports.scores import ScoresOutcome, ScoresRequest, import_scores
from services.scoring.scores import open_scores
from tests.unit.small_collection import make

Nested = dict[Any, dict[Any, float]]

INTEGERS = {"5": {"10": 1.5, "11": -2.25}, "7": {"12": 0.5}}
TEXTS = {"q-a": {"x1": 1.5, "x2": -2.25}, "q-b": {"x3": 0.5}}


def collection(folder: Path, scores: Nested) -> Collection:
    pids = sorted({pid for row in scores.values() for pid in row})
    return make(
        folder,
        passages={pid: f"passage {pid}" for pid in pids},
        queries={"train": {qid: f"query {qid}" for qid in scores}},
    )


def typed(scores: Nested) -> Nested:
    """With integers where the ids are."""

    def one(name: str) -> int | str:
        return int(name) if name.isdecimal() else name

    return {one(qid): {one(pid): score for pid, score in row.items()} for qid, row in scores.items()}


def as_pickle(folder: Path, scores: Nested) -> Path:
    path = folder / "scores.pkl.gz"
    path.write_bytes(gzip.compress(pickle.dumps(typed(scores))))
    return path


def as_lists(folder: Path, scores: Nested) -> Path:
    path = folder / "lists.parquet"
    rows = typed(scores)
    columns = {
        "query_id": list(rows),
        "corpus_id": [list(row) for row in rows.values()],
        "score": [list(row.values()) for row in rows.values()],
    }
    pq.write_table(pa.table(columns), path, row_group_size=1)
    return path


def as_pairs(folder: Path, scores: Nested) -> Path:
    path = folder / "pairs.parquet"
    rows = [(qid, pid, score) for qid, row in typed(scores).items() for pid, score in row.items()]
    qids, pids, values = zip(*reversed(rows), strict=True)
    pq.write_table(
        pa.table({"query_id": qids, "corpus_id": pids, "score": pa.array(values, pa.float32())}), path
    )
    return path


def as_folder(folder: Path, scores: Nested) -> Path:
    (folder / "list").mkdir()
    for n, (qid, row) in enumerate(scores.items()):
        as_lists(folder, {qid: row}).rename(folder / "list" / f"train-{n:05d}-of-00002.parquet")
    unfinished = folder / "list" / ".scores-parquet.partial" / "long~train"
    unfinished.mkdir(parents=True)
    (unfinished / "0.parquet").write_bytes(b"PAR1")
    return folder / "list"


def as_kd(folder: Path, scores: Nested) -> Path:
    path = folder / "kd.tsv"
    lines = ["pos_score\tneg_score\tqid\tpos_pid\tneg_pid\n"]
    for qid, row in scores.items():
        first = next(iter(row))
        lines += [f"{row[first]}\t{score}\t{qid}\t{first}\t{pid}\n" for pid, score in row.items()]
    path.write_text("".join(lines))
    return path


WRITERS: dict[str, tuple[str, Callable[[Path, Nested], Path]]] = {
    "pickle": ("scores-pickle", as_pickle), "lists": ("scores-parquet", as_lists),
    "pairs": ("scores-parquet", as_pairs), "folder": ("scores-parquet", as_folder), "kd": ("kd", as_kd),
}  # fmt: skip


def imported(
    opened: Collection, path: Path, format_name: str = "scores-pickle", **more: Any
) -> ScoresOutcome:
    return import_scores(
        opened, ScoresRequest(SCORES[format_name], path, more.pop("name", "teacher"), **more)
    )


def stored(opened: Collection, name: str = "teacher") -> Nested:
    found: Nested = {}
    for block in open_scores(opened, name).blocks():
        pids = opened.pids_of(block.ords)
        for qord, pid, score in zip(block.qords.tolist(), pids, block.scores.tolist(), strict=True):
            found.setdefault(opened.qids[qord], {})[pid] = score
    return found
