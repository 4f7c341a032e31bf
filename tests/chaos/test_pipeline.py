"""The real work under fire: import, index, mine and export, with a kill every few seconds.

Two collections of the same texts: one is mined in peace, the other while processes are killed at seeded
moments. The exported bytes and the documents of the index must be the same.
"""

from __future__ import annotations

import gzip
import hashlib
import random
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.chaos_stack import SEED, Chaos

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

PASSAGES, QUERIES = 2000, 3000
VICTIMS = ("worker", "child", "dispatcher", "redis", "broker wiped")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Passages and queries of words drawn by rank (Zipf), so that BM25 has something to rank."""
    folder = tmp_path_factory.mktemp("texts")
    dice = random.Random(SEED)
    words = [f"{dice.choice('bcdfgklmnprst')}{dice.choice('aeiou')}{n:x}" for n in range(4000)]
    weights = [1 / (n + 10) for n in range(len(words))]

    def draw(count: int) -> str:
        return " ".join(dice.choices(words, weights, k=count))

    passages = [draw(40) for _ in range(PASSAGES)]
    (folder / "passages.tsv").write_text("".join(f"p{n}\t{text}\n" for n, text in enumerate(passages)))
    queries, qrels = [], []
    for n in range(QUERIES):
        positive = dice.randrange(PASSAGES)
        queries.append(f"q{n}\t{' '.join(dice.sample(passages[positive].split(), 6))}\n")
        qrels.append(f"q{n}\t0\tp{positive}\t1\n")
    (folder / "queries.tsv").write_text("".join(queries))
    (folder / "qrels.tsv").write_text("".join(qrels))
    return folder


def prepare(chaos: Chaos, name: str, texts: Path) -> None:
    chaos.run(
        "collection",
        "import",
        name,
        "--passages",
        str(texts / "passages.tsv"),
        "--queries",
        f"train={texts / 'queries.tsv'}",
        "--qrels",
        f"train={texts / 'qrels.tsv'}",
    )


def mine(name: str) -> tuple[str, ...]:
    return ("mine", "--collection", name, "--system", "bm25", "--split", "train", "--depth", "20")


def harvest(chaos: Chaos, name: str, folder: Path) -> tuple[str, int]:
    """The sha256 of the exported lines, and the number of documents in the index."""
    file = folder / f"{name}.jsonl.gz"
    chaos.run("export", "hard-negatives", "--collection", name, "--split", "train", "-o", str(file))
    chaos.run("verify", str(file), "--collection", name)
    lines = gzip.decompress(file.read_bytes())
    assert lines.count(b"\n") == QUERIES
    from services.elastic.client import connect

    client = connect(chaos.settings)
    return hashlib.sha256(lines).hexdigest(), client.count(index=f"msm-{name}")["count"]


def strike(chaos: Chaos, victim: str) -> None:
    if victim == "broker wiped":
        chaos.broker.flushall()
    elif victim == "child":
        chaos.child().kill()
    else:
        chaos.kill(victim)


def test_mining_under_fire_gives_the_same_bytes(chaos: Chaos, texts: Path, tmp_path: Path) -> None:
    for name in ("peace", "war"):
        prepare(chaos, name, texts)
    chaos.run(*mine("peace"))
    command: subprocess.Popen[str] = chaos.command(*mine("war"), "--json")
    struck: list[str] = []
    while command.poll() is None and len(struck) < len(VICTIMS):
        time.sleep(chaos.random.uniform(1, 3))
        strike(chaos, VICTIMS[len(struck)])
        struck.append(VICTIMS[len(struck)])
    (outcome,) = chaos.answer(command, timeout=150)
    assert (outcome["state"], outcome["result"]["queries"]) == ("succeeded", QUERIES)
    assert len(struck) >= 3, "the job was too short to be disturbed"
    assert harvest(chaos, "war", tmp_path) == harvest(chaos, "peace", tmp_path) != ("", 0)
    assert_every_chunk_is_done(chaos)


def assert_every_chunk_is_done(chaos: Chaos) -> None:
    states: dict[str, Any] = {
        row.id: row.state
        for job in chaos.ledger.jobs()
        if job.state == "succeeded"
        for row in chaos.ledger.all_rows(job)
    }
    assert set(states.values()) == {"done"}
