"""Every command of docs/collections.md works, in the order of the page."""

from __future__ import annotations

import gzip
import re
import shlex
import shutil
from pathlib import Path

import pytest
from collection_kit import run_main

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "tests" / "samples"
COMMANDS = re.findall(r"^\$ (msmctl .*)$", (ROOT / "docs" / "collections.md").read_text(), re.MULTILINE)
NEED_A_NETWORK = ("--ir-dataset", "--hf-dataset")  # test_collection_sources.py has both, on local data


def write_files(folder: Path) -> None:
    """The files that the page names."""
    (folder / "collection.tsv.gz").write_bytes(gzip.compress((SAMPLES / "passages.tsv").read_bytes()))
    for name in ("queries.train.tsv", "queries.test.tsv", "qrels.train.tsv", "qrels.test.tsv"):
        shutil.copy(SAMPLES / name, folder / name)
    (folder / "dl19.tsv").write_text("p1\tone\np2\ttwo\n")
    (folder / "dl19.queries.tsv").write_text("q1\tone?\n")
    (folder / "dl19.qrels.txt").write_text("q1 Q0 p1 3\nq1 Q0 p2 1\n")
    (folder / "scifact" / "qrels").mkdir(parents=True)
    (folder / "scifact" / "corpus.jsonl").write_text(
        '{"_id": "1", "title": "a", "text": "b", "metadata": {"year": 1999}}\n'
    )
    (folder / "scifact" / "queries.jsonl").write_text('{"_id": "7", "text": "c"}\n')
    (folder / "scifact" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n7\t1\t1\n")
    (folder / "damaged.tsv").write_text("p1\tone\np1\ttwo\n")
    (folder / "new.jsonl").write_text('{"pid": "new", "text": "A new passage."}\n')
    (folder / "old-pids.txt").write_text("tides\n")


def test_every_command_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MSM_HOME", str(tmp_path / "home"))
    ran = [command for command in COMMANDS if not any(option in command for option in NEED_A_NETWORK)]
    assert len(ran) > 8
    for command in ran:
        answer = run_main(monkeypatch, capsys, *shlex.split(command)[1:])
        assert answer.code == 0, f"{command}: {answer.stderr}"
