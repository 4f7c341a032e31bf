"""A first session at a terminal, from import to search, typed as the documentation gives it, on real text."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Stack
from tests.integration.conftest import MODEL, Transcript

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def lines(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read().splitlines()


def test_the_stack_is_ready(squad_mined: Transcript) -> None:
    processes = {one["name"]: one for one in json.loads(squad_mined.of("msmctl up"))["processes"]}
    assert set(processes) == {
        "supervisor",
        "elasticsearch",
        "redis",
        "dispatcher",
        "worker",
        "models",
        "api",
        "gateway",
    }
    assert all(process["ready"] for process in processes.values())


def test_the_negatives_stand_an_independent_check(squad_mined: Transcript, squad: Path) -> None:
    texts = dict(line.split("\t", 1) for line in lines(squad / "collection.tsv.gz"))
    positives = defaultdict(set)
    for line in lines(squad / "qrels.train.tsv.gz"):
        qid, _, pid, grade = line.split()
        if int(grade) > 0:
            positives[qid].add(pid)
    rows: list[dict[str, Any]] = [
        json.loads(line) for line in lines(squad_mined.folder / "negatives.jsonl.gz")
    ]
    assert {str(row["qid"]) for row in rows} == set(positives)
    for row in rows:
        right = positives[str(row["qid"])]
        assert {str(pid) for pid in row["pos"]} == right
        assert set(row["neg"]) == {"bm25", MODEL}
        for negatives in row["neg"].values():
            pids = [str(pid) for pid in negatives]
            assert len(pids) == len(set(pids)) <= 50
            assert right.isdisjoint(pids)
            assert {texts[pid] for pid in pids}.isdisjoint(texts[pid] for pid in right)
        assert len(row["neg"][MODEL]) == 50


def test_verify_finds_nothing(squad_mined: Transcript) -> None:
    report = json.loads(squad_mined.of("msmctl verify"))
    assert report["ok"]
    assert report["lines"] == 8585
    assert not any(report["findings"].values())


def test_the_index_is_served(squad_mined: Transcript) -> None:
    *_, listed = squad_mined.of("index build").strip().splitlines()
    (served,) = [version for version in json.loads(listed) if version["served"]]
    assert (served["passages"], served["queries"], served["systems"]) == (2067, 10570, [MODEL])


def test_bm25_is_measured_on_the_test_split(squad_mined: Transcript) -> None:
    found = json.loads(squad_mined.of("msmctl evaluate"))
    assert {key: found[key] for key in ("collection", "split", "system", "queries")} == {
        "collection": "squad", "split": "test", "system": "bm25", "queries": 1985,
    }  # fmt: skip
    assert found["measures"]["nDCG@10"] == pytest.approx(0.890, abs=0.005)
    assert set(found["measures"]) == {"RR@10", "nDCG@10"}


def test_the_answer_is_found_and_explained(squad_mined: Transcript) -> None:
    first = json.loads(squad_mined.of("msmctl search"))["hits"][0]
    assert "October 1973" in first["text"]
    assert set(first["explain"]["legs"]) == {"bm25", MODEL}


def test_every_job_of_it_succeeded(squad_mined: Transcript) -> None:
    jobs = [job for job in json.loads(squad_mined.of("msmctl jobs ls")) if job["collection"] == "squad"]
    assert {job["kind"] for job in jobs} == {"encode", "index", "mine"}
    assert {job["state"] for job in jobs} == {"succeeded"}


def test_down_stops_the_stack_and_up_brings_everything_back(squad_mined: Transcript, stack: Stack) -> None:
    squad_mined.msmctl("down")
    assert not any(one["ready"] for one in json.loads(squad_mined.msmctl("status", "--json"))["processes"])
    squad_mined.msmctl("up")
    again = squad_mined.evaluate("squad", "--system", "bm25", "--measure", "RR@10", "--measure", "nDCG@10")
    assert again == json.loads(squad_mined.of("msmctl evaluate"))["measures"]
