"""Training by the stack's worker: killed in the middle, watched, made a system."""

from __future__ import annotations

import csv
import json
import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.stack.status import status
from tests.conftest import Stack
from tests.docs_kit import validate
from tests.integration.conftest import MODEL, Sample
from tests.unit.tiny_model import tiny_model

SMALL = (
    "steps=12",
    "chunk_steps=6",
    "batch=4",
    "precision=fp32",
    "learning_rate=0.002",
    "evaluation.queries=0",
    "max_length=64",
)


@pytest.fixture(scope="module")
def base(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A system with a tiny encoder; the sample collection is mined."""
    name = f"tiny-{os.getpid()}"
    folder = tiny_model(tmp_path_factory.mktemp("tiny"))
    sample.msmctl("systems", "add", name, "--model", folder, "--pooling", "mean", "--similarity", "cosine")
    sample.msmctl("mine", "--collection", sample.name, "--system", "bm25")
    return name


def arguments(sample: Sample, base: str, recipe: str, name: str) -> list[str]:
    changes = [word for text in SMALL for word in ("--set", text)]
    return ["train", recipe, "--collection", sample.name, "--name", name, "--base", base, *changes]


def shown(sample: Sample, name: str) -> Any:
    model = json.loads(sample.msmctl("models", "show", name, "--json"))
    validate("model", model)
    return model


def curve(model: Any) -> list[list[str]]:
    with Path(model["location"], "loss.csv").open() as file:
        return [row[:3] for row in csv.reader(file)]


def training_process(stack: Stack) -> psutil.Process | None:
    """The process that trains under the stack's worker."""
    (worker,) = [one.pid for one in status(stack.settings) if one.name == "worker"]
    for child in psutil.Process(worker).children(recursive=True):
        try:
            if "services.training.child" in child.cmdline():
                return child
        except psutil.NoSuchProcess:
            continue
    return None


def killed_worker(stack: Stack, sample: Sample, job: str) -> psutil.Process:
    """Kill -9 the worker's child while the second chunk trains; the training process under it."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        process = training_process(stack)
        if process is not None and json.loads(sample.msmctl("jobs", "show", job, "--json"))["done"] == 1:
            parent = process.parent()
            assert parent is not None
            parent.kill()
            return process
        time.sleep(0.05)
    raise AssertionError("the second chunk never trained")


def test_a_worker_killed_in_the_middle_changes_nothing_of_the_result(
    stack: Stack, sample: Sample, base: str
) -> None:
    printed = sample.msmctl(*arguments(sample, base, "ce-bce", f"killed-{base}"), "--detach", "--json")
    job = json.loads(printed)[0]["job"]
    orphan = killed_worker(stack, sample, job)
    sample.msmctl("jobs", "watch", job)
    assert not orphan.is_running()
    sample.msmctl(*arguments(sample, base, "ce-bce", f"calm-{base}"), "--set", "chunk_steps=12", "--local")
    killed, calm = shown(sample, f"killed-{base}"), shown(sample, f"calm-{base}")
    assert curve(killed) == curve(calm)
    assert len(curve(calm)) == 13
    listed = json.loads(sample.msmctl("models", "ls", "--json"))
    assert {f"killed-{base}", f"calm-{base}"} <= {model["name"] for model in listed}
    assert sample.run("models", "promote", f"calm-{base}").code == 2


def test_a_trained_bi_encoder_is_served_besides_what_is_served(
    stack: Stack, sample: Sample, base: str
) -> None:
    name = f"served-{base}"
    sample.msmctl(*arguments(sample, base, "mnrl", name), "--set", "chunk_steps=12")
    promised = sample.run("models", "promote", name, "--collection", sample.name, "--dry-run", "--json")
    validate("jobs-plan", json.loads(promised.stdout))
    planned = {row["title"]: row for row in json.loads(promised.stdout)}
    encoding, indexing = planned[f"encode {sample.name} {name}"], list(planned.values())[-1]
    assert (encoding["fresh"], indexing["fresh"]) == (None, None)
    assert encoding["rows"] == encoding["passages"] + encoding["queries"] > 0
    assert encoding["bytes"] > 0
    assert indexing["elastic_bytes"] > 0
    assert f"swap: {stack.settings.index(sample.name)}: from" in promised.stderr
    assert sample.run("systems", "show", name).code == 7  # promised, not done
    (outcome,) = json.loads(sample.msmctl("models", "promote", name, "--collection", sample.name, "--json"))
    assert outcome["result"]["served"]
    slugs = [one.lower().replace("-", "_") for one in (MODEL, name)]
    assert set(slugs) <= set(outcome["result"]["systems"])
    assert sample.evaluate(sample.name, "--system", name)["RR@10"] > 0
    again = json.loads(sample.msmctl("models", "promote", name, "--collection", sample.name, "--json"))
    assert again[0]["state"] == "fresh"
