"""What docs/import.md tells to type works, on the sample collection and files made for it."""

from __future__ import annotations

import gzip
import json
import pickle
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import ROOT
from tests.docs_kit import commands
from tests.unit.collection_kit import run_main

SAMPLES = ROOT / "tests" / "samples"


def judged(split: str) -> list[tuple[str, str]]:
    lines = (SAMPLES / f"qrels.{split}.tsv").read_text("utf-8").splitlines()
    return [(qid, pid) for qid, _, pid, _ in map(str.split, lines)]


def make_files(folder: Path) -> None:
    """One file of each format, about the sample collection."""
    train = judged("train")
    scores = {qid: {pid: 8.5, train[n - 1][1]: -3.25} for n, (qid, pid) in enumerate(train)}
    (folder / "scores.pkl.gz").write_bytes(gzip.compress(pickle.dumps(scores)))
    lists: dict[str, list[object]] = {"query_id": [], "corpus_id": [], "score": []}
    for qid, row in scores.items():
        for name, value in zip(lists, (qid, list(row), list(row.values())), strict=True):
            lists[name].append(value)
    pq.write_table(pa.table(lists), folder / "scores.parquet")
    kd = "".join(f"8.5\t-3.25\t{qid}\t{pid}\t{train[n - 1][1]}\n" for n, (qid, pid) in enumerate(train))
    (folder / "teacher.tsv.gz").write_bytes(gzip.compress(kd.encode()))
    lines = (
        {"qid": qid, "pos": [pid], "neg": {"bm25": [train[n - 1][1]]}} for n, (qid, pid) in enumerate(train)
    )
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "negatives.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    (folder / "theirs.trec").write_text("".join(f"{qid} Q0 {pid} 1 2.5 x\n" for qid, pid in judged("test")))


def test_the_commands_of_the_page_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MSM_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    make_files(tmp_path)
    given = [f"--{what}={split}={SAMPLES}/{what}.{split}.tsv" for what in ("queries", "qrels")
             for split in ("train", "test")]  # fmt: skip
    made = run_main(
        monkeypatch, capsys, "collection", "import", "squad", "--passages", SAMPLES / "passages.tsv", *given
    )
    assert made.code == 0, made.stderr
    typed = list(commands(ROOT / "docs" / "import.md"))
    assert len(typed) == 9
    for command in typed:
        done = run_main(monkeypatch, capsys, *shlex.split(command)[1:])
        assert done.code == 0, f"{command}\n{done.stderr}"
