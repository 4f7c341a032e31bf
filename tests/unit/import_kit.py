"""A small collection to import runs and negatives into, and what is stored of a run."""

from __future__ import annotations

import gzip
from pathlib import Path

from services.collections.collection import Collection
from services.mining.runs import open_run
from tests.unit.small_collection import make

Ranked = dict[str, list[tuple[str, int, float]]]

PASSAGES = {f"p{n}": f"the text of passage number {n}" for n in range(30)}
QUERIES = {f"q{n}": f"question {n}" for n in range(4)}


def collection(folder: Path) -> Collection:
    return make(
        folder,
        passages=PASSAGES,
        queries={"test": QUERIES},
        qrels={"test": [("q0", "p4", 1), ("q1", "p9", 1), ("q2", "p1", 2)]},
    )


def written(folder: Path, text: str, name: str = "theirs.run") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def stored(small: Collection, system: str = "theirs", split: str = "test") -> Ranked:
    run = open_run(small, split, system)
    assert run is not None
    columns = run.columns(small.split_qords(split, judged_only=False))
    found: Ranked = {}
    for query, pid, rank, score in zip(
        columns.query.tolist(), small.pids_of(columns.ords), columns.rank.tolist(), columns.score.tolist(),
        strict=True,
    ):  # fmt: skip
        found.setdefault(small.qids[int(small.split_qords(split, judged_only=False)[query])], []).append(
            (pid, rank, score)
        )
    return found
