"""langchain-elasticsearch's hybrid strategy runs as it is, with the client of version 8 that it wants."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from services.stack.secrets import password
from tests.conftest import ROOT
from tests.integration.gateway.ends import Ends, by_rrf, ids

FOLDER = Path(__file__).parent
LOCK = FOLDER / "langchain.lock"
TEXTS = ["banana and mango", "eel soup", "oolong tea", "a cow on a moor", "three green trees"]


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of an environment made from the lock, with the pinned uv; kept for the next run."""
    folder = ROOT / ".cache" / f"langchain-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    made = folder / "complete"
    if not made.exists():
        for command in (
            ["venv", "--quiet", "--clear", "--python", sys.executable, folder],
            ["pip", "sync", "--quiet", "--require-hashes", "--python", folder / "bin" / "python", LOCK],
        ):
            subprocess.run([ROOT / "scripts" / "setup.sh", "uv", *command], cwd=ROOT, check=True, timeout=240)
        made.touch()
    return folder / "bin" / "python"


def run(python: Path, ends: Ends, url: str, index: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, FOLDER / "langchain_app.py", url, "admin", index],
        input=password(ends.settings, "admin"), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_the_hybrid_strategy_of_langchain_elasticsearch(ends: Ends, fresh: str, python: Path) -> None:
    done = run(python, ends, ends.gateway, fresh)
    assert done.returncode == 0, done.stderr[-3000:]
    printed = json.loads(done.stdout)
    node = ends.client(ends.node)
    vector = ["green trees".count(letter) + 0.1 for letter in "aeo"]
    lexical = node.search(index=fresh, query={"match": {"text": "green trees"}}, size=3)
    dense = node.search(
        index=fresh, knn={"field": "vector", "query_vector": vector, "k": 3, "num_candidates": 50}, size=3
    )
    names = {hit["_id"]: hit["_source"]["text"] for hit in node.search(index=fresh, size=10)["hits"]["hits"]}
    scores = {names[name]: score for name, score in by_rrf(ids(lexical), ids(dense))}
    best = sorted(scores.values(), reverse=True)[:3]
    assert [scores[text] for text in printed["found"]] == pytest.approx(best)
    assert printed["filtered"] == sorted(TEXTS[:2])


@pytest.mark.slow
def test_past_the_gateway_the_licence_refuses_it(ends: Ends, fresh: str, python: Path) -> None:
    done = run(python, ends, ends.node, fresh)
    assert done.returncode != 0
    assert "retriever" in done.stderr
