"""A training process that runs out of memory: it goes on in pieces, with the batch and the loss it had."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.jobs.kind import Context
from services.jobs.records import Job
from services.systems import models
from services.training.trained import the_trained
from tests.unit import training_kit as kit
from tests.unit.tiny_model import tiny_model

SHORT = (*kit.SMALL, "steps=6", "chunk_steps=6", "evaluation.queries=0")
EVALUATED = "evaluation.queries=6"

# Python imports this when it starts; no more of the training process' texts fit than is said here.
_SMALL_MEMORY = """
import sys
if "services.training.child" in sys.orig_argv:
    import torch
    real = torch.nn.Embedding.forward
    def forward(self, ids):
        most = {steps} if self.training else {scores}
        if most is not None and ids.shape[0] > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(self, ids)
    torch.nn.Embedding.forward = forward
"""


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """With a base that leaves nothing to chance: dropout would draw other masks for other shapes."""
    folder = tmp_path_factory.mktemp("training")
    context = kit.bench(folder)
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = tiny_model(folder / "still", config=still)
    models.add(context.store, "still", str(model), pooling="mean", similarity="cosine", max_length=64)
    return context


@dataclass(frozen=True)
class Ended:
    """A job as it ended, and what was logged by its steps and by its end."""

    job: Job
    steps: list[str]
    end: list[str]

    @property
    def model(self) -> str:
        return str(self.job.spec["name"])


def room_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, steps: int | None = None, scores: int | None = None
) -> None:
    (folder / "sitecustomize.py").write_text(_SMALL_MEMORY.format(steps=steps, scores=scores))
    monkeypatch.setenv("PYTHONPATH", str(folder))


def train(context: Context, recipe: str, name: str, *overrides: str) -> Ended:
    spec = kit.spec(context, recipe, "base=still", *overrides, name=name, small=SHORT)
    job = kit.train(context, spec)
    rows = [kit.ledger_of(context).row(job.id, chunk) for chunk in ("000000", "finish")]
    return Ended(job, *([line.split(" ", 1)[1] for line in row.log] if row else [] for row in rows))


@pytest.fixture(scope="module", params=["ce-bce", "mnrl"])
def whole(context: Context, request: pytest.FixtureRequest) -> Ended:
    """A run that memory holds, and its evaluation."""
    ended = train(context, request.param, f"{request.param}-whole", EVALUATED)
    assert ended.job.state == "succeeded", ended.job.error
    return ended


@pytest.fixture(scope="module")
def pieces(context: Context, whole: Ended, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """The same where three texts fit in a step, and nine in the evaluation."""
    recipe = whole.model.removesuffix("-whole")
    with pytest.MonkeyPatch.context() as patch:
        room_for(tmp_path_factory.mktemp("small"), patch, steps=3, scores=9)
        ended = train(context, recipe, f"{recipe}-pieces", EVALUATED)
    assert ended.job.state == "succeeded", ended.job.error
    return ended


def losses(context: Context, name: str) -> list[float]:
    with (the_trained(context.store, name).local_folder(context.store) / "loss.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_a_batch_that_does_not_fit_is_computed_in_pieces_with_the_same_losses(
    context: Context, whole: Ended, pieces: Ended
) -> None:
    assert [line for line in pieces.steps if "out of memory" in line] == [
        "step 1: out of memory; goes on with 4 examples at a time",
        "step 1: out of memory; goes on with 2 examples at a time",
    ]
    assert losses(context, pieces.model) == pytest.approx(losses(context, whole.model), abs=1e-4)


def test_an_evaluation_that_does_not_fit_goes_on_with_fewer_pairs_at_a_time(
    context: Context, whole: Ended, pieces: Ended
) -> None:
    found, expected = (the_trained(context.store, one.model).measures for one in (pieces, whole))
    scored = [measured for measured in expected.values() if measured is not None]
    assert [line for line in pieces.end if "out of memory" in line] == [
        "evaluation: out of memory; goes on with 16 examples at a time",
        "evaluation: out of memory; goes on with 8 examples at a time",
    ] * len(scored)
    assert found == expected
    assert [measured["queries"] for measured in scored] == [6] * len(scored)
    assert expected["after"] is not None


def test_what_does_not_fit_one_by_one_fails_with_the_remedy(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room_for(tmp_path, monkeypatch, steps=0)
    job = train(context, "ce-bce", "hopeless").job
    assert job.state == "failed"
    assert job.error is not None
    assert "out of memory, a single example at a time: CUDA out of memory" in job.error.message
    assert job.error.hint == "--set max_length=32, a smaller base, or more memory"


def test_an_evaluation_that_does_not_fit_one_by_one_keeps_the_steps_and_can_be_retried(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room_for(tmp_path, monkeypatch, scores=0)
    job = train(context, "ce-bce", "unmeasured", EVALUATED).job
    assert job.error is not None
    assert job.error.message.startswith("evaluation: out of memory, a single example at a time: CUDA")
    assert job.error.hint == "more memory, then `msmctl jobs retry`: all steps are done and kept"
    assert (job.state, job.done) == ("failed", 1)
