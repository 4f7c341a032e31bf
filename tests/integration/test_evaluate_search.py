"""`evaluate --system hybrid…` measures what `search` returns, reranked too."""

from __future__ import annotations

import json
import os

import pytest

from tests.integration.conftest import Sample
from tests.unit.tiny_ce import tiny_ce


@pytest.fixture(scope="module")
def ce(sample: Sample) -> str:
    """A cross-encoder of the sample's store."""
    name = f"tiny-ce-{os.getpid()}"
    sample.msmctl("ce", "add", name, "--model", tiny_ce(sample.folder / name, "bert"))
    return name


def reciprocal_ranks(sample: Sample, *how: str) -> float:
    """RR@10 over the test split, by searching for each query and reading the qrels."""
    relevant: dict[str, set[str]] = {}
    for line in (sample.folder / "qrels.test.tsv").read_text("utf-8").splitlines():
        qid, _, pid, grade = line.split()
        relevant.setdefault(qid, set()).update([pid] if int(grade) else [])
    texts = dict(
        line.split("\t") for line in (sample.folder / "queries.test.tsv").read_text("utf-8").splitlines()
    )
    found = []
    for qid, pids in relevant.items():
        hits = json.loads(sample.msmctl("search", texts[qid], "--collection", sample.name, *how, "--json"))[
            "hits"
        ]
        found.append(next((1 / hit["rank"] for hit in hits if hit["pid"] in pids), 0.0))
    return sum(found) / len(found)


def test_what_is_measured_is_what_is_served(sample: Sample, ce: str) -> None:
    measured = json.loads(sample.msmctl(
        "evaluate", "--collection", sample.name, "--split", "test", "--measure", "RR@10", "--json",
        "--system", "hybrid", "--system", f"hybrid+rerank:{ce}",
    ))  # fmt: skip
    assert [row["kind"] for row in measured] == ["retrieval", "retrieval+reranking"]
    plain, reranked = [row["measures"]["RR@10"] for row in measured]
    assert plain == pytest.approx(reciprocal_ranks(sample))
    assert reranked == pytest.approx(reciprocal_ranks(sample, "--rerank", ce))
    assert plain != reranked, "a random cross-encoder orders otherwise"


def test_a_reranker_that_is_none_is_told(sample: Sample) -> None:
    done = sample.run(
        "evaluate", "--collection", sample.name, "--split", "test", "--system", "hybrid+rerank:nobody"
    )
    assert done.code == 7, done.stderr
