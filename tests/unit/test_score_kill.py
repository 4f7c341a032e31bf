"""A scoring process that is killed loses the chunk in work, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from collection_kit import run_main
from small_collection import make
from small_runs import save_run
from tiny_ce import SENTENCES, tiny_ce

from services.cross_encoders.models import add
from services.scoring.scores import list_scores, open_scores

ROOT = Path(__file__).resolve().parents[2]
# A chunk of a few pairs that takes a moment, so that a kill falls into one.
FEW = {"cpu": 3e7}
COMMAND = ["score", "--collection", "small", "--ce", "ce-tiny", "--local", "--json"]
SCRIPT = f"""
import sys, time
from services.jobs.kinds import score
from services.scoring.scorer import Scorer
score._CHUNK_FLOPS = {FEW}
pairs = Scorer.pairs
def slow(*given, **how):
    time.sleep(0.3)
    return pairs(*given, **how)
Scorer.pairs = slow
from cli.main import main
sys.argv = ["msmctl", *{COMMAND}]
main()
"""


@pytest.fixture
def collection(tmp_path):
    queries = {f"q{n}": f"what of {n}?" for n in range(8)}
    made = make(
        tmp_path,
        passages={f"p{n}": f"{SENTENCES[n % 5]} Part {n}." for n in range(16)},
        queries={"train": queries},
        qrels={"train": [(qid, "p0", 1) for qid in queries]},
    )
    save_run(made, "bm25", {qid: [f"p{(n + m) % 16}" for m in range(5)] for n, qid in enumerate(queries)})
    add(made.store, "ce-tiny", str(tiny_ce(tmp_path / "ce", "bert")))
    return made


def start(tmp_path):
    environment = {
        **os.environ,
        "MSM_HOME": str(tmp_path),
        "MSM_DEVICE": "cpu",
        "MSM_THREADS": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
    )


def test_killed_and_started_again_every_pair_is_scored_once(collection, tmp_path, monkeypatch, capsys):
    process = start(tmp_path)
    deadline = time.monotonic() + 60
    while not (list_scores(collection) and open_scores(collection).rows) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = open_scores(collection).rows
    assert 0 < done < 47
    monkeypatch.setenv("MSM_HOME", str(tmp_path))
    monkeypatch.setenv("MSM_DEVICE", "cpu")
    monkeypatch.setattr("services.jobs.kinds.score._CHUNK_FLOPS", FEW)
    again = run_main(monkeypatch, capsys, *COMMAND)
    assert again.code == 0, again.stderr
    assert again.stdout
    # 8 queries by 5 candidates, and the positive of those that do not have it among them
    wanted = {(n, (n + m) % 16) for n in range(8) for m in range(5)} | {(n, 0) for n in range(8)}
    scores = open_scores(collection)
    found = [(int(q), int(p)) for block in scores.blocks() for q, p, _ in zip(*block, strict=True)]
    assert sorted(found) == sorted(wanted)
    assert scores.rows == scores.pairs == len(wanted)
