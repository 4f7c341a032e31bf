"""A training process that runs out of memory: it goes on in pieces, with the batch and the loss it had."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from services.jobs.kind import Context
from services.jobs.records import Job
from services.systems import models
from services.training.trained import the_trained
from tests.unit import training_kit as kit
from tests.unit.tiny_model import tiny_model

SHORT = (*kit.SMALL, "steps=6", "chunk_steps=6", "evaluation.queries=0")

# Python imports this when it starts; of the training process' texts, no more than so many fit (while `when`).
_SMALL_MEMORY = """
import sys
if "services.training.child" in sys.orig_argv:
    import torch
    real = torch.nn.Embedding.forward
    def forward(self, ids):
        if {when} and ids.shape[0] > {most}:
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


def room_for(most: int, folder: Path, monkeypatch: pytest.MonkeyPatch, when: str = "True") -> None:
    (folder / "sitecustomize.py").write_text(_SMALL_MEMORY.format(most=most, when=when))
    monkeypatch.setenv("PYTHONPATH", str(folder))


def train(
    context: Context, recipe: str, name: str, *overrides: str, chunk: str = "000000"
) -> tuple[Job, list[str]]:
    """The job as it ended, and what a chunk of it logged."""
    spec = kit.spec(context, recipe, "base=still", *overrides, name=name, small=SHORT)
    job = kit.train(context, spec)
    row = kit.ledger_of(context).row(job.id, chunk)
    return job, [] if row is None else [line.split(" ", 1)[1] for line in row.log]


def losses(context: Context, name: str) -> list[float]:
    with (the_trained(context.store, name).local_folder(context.store) / "loss.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("recipe", ["ce-bce", "mnrl"])
def test_a_batch_that_does_not_fit_is_computed_in_pieces_with_the_same_losses(
    context: Context, recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train(context, recipe, f"{recipe}-whole")[0].state == "succeeded"
    room_for(3, tmp_path, monkeypatch)
    job, log = train(context, recipe, f"{recipe}-pieces")
    assert job.state == "succeeded", job.error
    assert [line for line in log if "out of memory" in line] == [
        "step 1: out of memory; goes on with 4 examples at a time",
        "step 1: out of memory; goes on with 2 examples at a time",
    ]
    assert losses(context, f"{recipe}-pieces") == pytest.approx(losses(context, f"{recipe}-whole"), abs=1e-4)


def test_what_does_not_fit_one_by_one_fails_with_the_remedy(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room_for(0, tmp_path, monkeypatch)
    job, _ = train(context, "ce-bce", "hopeless")
    assert job.state == "failed"
    assert job.error is not None
    assert "out of memory, a single example at a time: CUDA out of memory" in job.error.message
    assert job.error.hint == "--set max_length=32, a smaller base, or more memory"


SCORING = "not torch.is_grad_enabled()"


@pytest.mark.parametrize("recipe", ["ce-bce", "mnrl"])
def test_an_evaluation_that_does_not_fit_goes_on_with_fewer_pairs_at_a_time(
    context: Context, recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated = "evaluation.queries=6"
    train(context, recipe, f"{recipe}-measured", evaluated)
    room_for(9, tmp_path, monkeypatch, when=SCORING)
    job, log = train(context, recipe, f"{recipe}-less-at-a-time", evaluated, chunk="finish")
    assert job.state == "succeeded", job.error
    assert [line for line in log if "out of memory" in line][:2] == [
        "evaluation: out of memory; goes on with 16 examples at a time",
        "evaluation: out of memory; goes on with 8 examples at a time",
    ]
    names = (f"{recipe}-measured", f"{recipe}-less-at-a-time")
    whole, pieces = (the_trained(context.store, name).measures["after"] for name in names)
    assert pieces == whole
    assert whole["queries"] == 6


def test_an_evaluation_that_does_not_fit_one_by_one_keeps_the_steps_and_can_be_retried(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room_for(0, tmp_path, monkeypatch, when=SCORING)
    job, _ = train(context, "ce-bce", "unmeasured", "evaluation.queries=6")
    assert job.error is not None
    assert job.error.message.startswith("evaluation: out of memory, a single example at a time: CUDA")
    assert job.error.hint == "more memory, then `msmctl jobs retry`: all steps are done and kept"
    assert (job.state, job.done) == ("failed", 1)
