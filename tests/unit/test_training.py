"""Training from checkpoint to checkpoint: the same curve whatever is cut or killed, and what it leaves."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest

from services.collections.collection import Collection
from services.errors import Conflict, InputError, MsmError, NotFound, UsageError
from services.jobs.kind import Context
from services.jobs.submit import submit
from services.store import Store
from services.training import checkpoints, chunk, costs, process
from services.training.plan import TrainingPlan
from services.training.run import Run
from services.training.task import Step, Task
from services.training.trained import TrainedModel, all_trained, the_trained
from tests.unit import training_kit as kit

SHORT = (*kit.SMALL, "steps=12", "evaluation.queries=0")
QUERY, PASSAGES = "where moon", ["the moon sings", "the stone sleeps", "the river sings"]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return kit.bench(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="module")
def uncut(context: Context) -> TrainedModel:
    """Twelve steps in one chunk, undisturbed."""
    job = kit.train(context, kit.spec(context, "ce-bce", "chunk_steps=12", name="uncut", small=SHORT))
    assert job.state == "succeeded", job.error
    return the_trained(context.store, "uncut")


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.jobs.failures._FIRST_WAIT", 0.01)


def curve(context: Context, model: TrainedModel) -> list[list[str]]:
    """Steps, losses and rates; seconds differ."""
    with (model.local_folder(context.store) / "loss.csv").open() as file:
        return [row[:3] for row in csv.reader(file)]


def weights(model: TrainedModel) -> str:
    return next(file.sha256 for file in model.files if file.path == "model.safetensors")


def killing(monkeypatch: pytest.MonkeyPatch, at: int) -> list[int]:
    """Kill -9 the training process once, when it tells of step `at`; says whom."""
    killed: list[int] = []
    real = process.run

    def run(task: Task, alive: Any) -> Iterator[Any]:
        for event in real(task, alive):
            yield event
            if isinstance(event, Step) and event.step == at and not killed:
                (child,) = kit.children()
                killed.append(child.pid)
                child.kill()

    monkeypatch.setattr("services.training.run.process.run", run)
    return killed


def test_cut_and_killed_gives_exactly_the_curve_and_the_weights_of_an_undisturbed_run(
    context: Context, uncut: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = killing(monkeypatch, at=8)
    job = kit.train(context, kit.spec(context, "ce-bce", "chunk_steps=6", name="cut", small=SHORT))
    assert job.state == "succeeded", job.error
    assert len(killed) == 1
    cut = the_trained(context.store, "cut")
    assert curve(context, cut) == curve(context, uncut)
    assert weights(cut) == weights(uncut)
    assert [row[0] for row in curve(context, cut)] == ["step", *map(str, range(1, 13))]


def test_a_chunk_that_takes_too_long_goes_on_in_other_processes_as_if_it_were_one(
    context: Context, uncut: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.training.chunk._MOST_EXAMPLES", 40)  # five steps
    killed = killing(monkeypatch, at=7)  # while it goes on from step 5
    job = kit.train(context, kit.spec(context, "ce-bce", "chunk_steps=1000000", name="long", small=SHORT))
    assert job.state == "succeeded", job.error
    assert (job.chunks, len(killed)) == (1, 1)
    long = the_trained(context.store, "long")
    assert curve(context, long) == curve(context, uncut)
    assert weights(long) == weights(uncut)
    assert long.training["examples"] == uncut.training["examples"]
    row = kit.ledger_of(context).row(job.id, "000000")
    assert row is not None
    assert [line.split()[2:5] for line in row.log if " loss " in line] == [
        ["0", "to", "5:"], ["5", "to", "10:"], ["10", "to", "12:"]
    ]  # fmt: skip
    assert (row.attempt, row.tries) == (4, 0)  # the kill counts no more once it has got on


@pytest.mark.parametrize(
    ("batch", "seconds_per_step", "expected"),
    [
        (32, None, 100 + 65_536 // 32),  # nothing was measured: by examples
        (32, 0.001, 100 + 65_536 // 32),  # as many as would fit the time are too many at once
        (32, 2.0, 100 + 240),  # twice the four minutes of a process
        (32, 1000.0, 101),
        (1 << 20, None, 101),
        (1, 0.01, 20_000),  # the chunk ends before
    ],
)
def test_no_more_steps_are_laid_out_than_a_process_may_come_to(
    batch: int, seconds_per_step: float | None, expected: int
) -> None:
    run: Any = SimpleNamespace(
        recipe=SimpleNamespace(batch=batch), plan=SimpleNamespace(seconds_per_step=seconds_per_step)
    )
    assert chunk._end(run, 100, 20_000) == expected


def test_a_process_ends_with_a_checkpoint_when_its_time_is_up(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.training.chunk._LONGEST", 0.0)
    spec = kit.spec(context, "ce-bce", "steps=2", "chunk_steps=2", name="slow", small=SHORT)
    job = kit.train(context, spec)
    assert job.state == "succeeded", job.error
    row = kit.ledger_of(context).row(job.id, "000000")
    assert row is not None
    assert (row.attempt, row.tries) == (2, 0)
    assert [step[0] for step in curve(context, the_trained(context.store, "slow"))] == ["step", "1", "2"]


def test_minutes_become_steps_by_a_measurement_and_a_few_steps_need_none(context: Context) -> None:
    def fixed(length: str) -> tuple[TrainingPlan, list[psutil.Process]]:
        asked = (length, "chunk_steps=null")
        recipe = kit.spec(context, "ce-bce", *asked, small=SHORT).recipe
        seen: list[psutil.Process] = []
        watched = replace(context, checkpoint=lambda rows: seen.extend(kit.children()))
        collection = Collection.open(context.store, "small")
        return Run(watched, collection, "train", recipe, f"training/plan-{length}").fix_plan(), seen

    short, processes = fixed("steps=40")
    assert (short.seconds_per_step, short.chunk_steps, processes) == (None, 40, [])
    measured, processes = fixed("minutes=5")
    assert processes
    each = measured.seconds_per_step
    assert each is not None
    assert measured.steps == round(300 / each)
    assert measured.chunk_steps == min(round(120 / each), measured.steps)


def test_it_learns_and_the_folder_is_a_cross_encoder_whose_scores_are_logits(
    context: Context, uncut: TrainedModel
) -> None:
    from sentence_transformers import CrossEncoder

    assert uncut.training["last_loss"] < uncut.training["first_loss"]
    model = CrossEncoder(str(uncut.local_folder(context.store)))
    logits = model.predict([(QUERY, passage) for passage in PASSAGES], show_progress_bar=False)
    assert min(logits) < 0


def test_nothing_in_the_folder_must_be_unpickled(context: Context, uncut: TrainedModel) -> None:
    suffixes = {Path(file.path).suffix for file in uncut.files}
    assert suffixes == {".json", ".safetensors", ".md", ".csv", ".png"}
    card = (uncut.local_folder(context.store) / "README.md").read_text("utf-8")
    for word in (
        "# uncut",
        "`tiny`",
        "run of bm25",
        "negatives: 2",
        "sentence-transformers",
        "| steps | 12 |",
    ):
        assert word in card


def test_checkpoints_are_gone_when_the_model_is_there(context: Context, uncut: TrainedModel) -> None:
    assert context.store.children("training/uncut") == []


def test_a_trained_cross_encoder_is_known_where_scores_are_made(
    context: Context, uncut: TrainedModel
) -> None:
    from services.cross_encoders.models import required
    from services.cross_encoders.registry import CrossEncoders

    ce = CrossEncoders.load(context.store).get("uncut")
    assert required(context.store, ce).own.kind == "encoder"


def test_the_same_again_is_fresh_and_another_under_the_name_is_refused(
    context: Context, uncut: TrainedModel
) -> None:
    ledger = kit.ledger_of(context)
    same = kit.spec(context, "ce-bce", "chunk_steps=12", name="uncut", small=SHORT)
    assert not submit(ledger, context, [same]).jobs
    other = kit.spec(context, "ce-bce", "seed=4", name="uncut", small=SHORT)
    with pytest.raises(Conflict, match="model 'uncut' exists already"):
        submit(ledger, context, [other])
    assert [model.name for model in all_trained(context.store)].count("uncut") == 1


def test_a_bi_encoder_learns_loads_and_keeps_its_pooling_and_snapshots(context: Context) -> None:
    from sentence_transformers import SentenceTransformer

    job = kit.train(
        context,
        kit.spec(context, "mnrl", "chunk_steps=12", "snapshots=[.25]", "layers=1", name="bi", small=SHORT),
    )
    assert job.state == "succeeded", job.error
    made, snapshot = the_trained(context.store, "bi"), the_trained(context.store, "bi-3")
    assert (made.training["steps"], snapshot.training["steps"]) == (12, 3)
    assert curve(context, made)[:4] == curve(context, snapshot)
    model = SentenceTransformer(str(made.local_folder(context.store)))
    assert [type(module).__name__ for module in model] == ["Transformer", "Pooling"]
    assert model[0].auto_model.config.num_hidden_layers == 1
    assert model.similarity_fn_name == "cosine"
    assert np.isfinite(model.encode(PASSAGES)).all()


def test_a_loss_that_is_no_number_fails_the_job_with_step_and_remedy(context: Context) -> None:
    job = kit.train(
        context, kit.spec(context, "mnrl", "loss.scale=1e39", "chunk_steps=12", name="wild", small=SHORT)
    )
    assert job.state == "failed"
    assert job.error is not None
    assert job.error.message == "step 1: the loss or its gradient is no number any more"
    assert "learning_rate" in str(job.error.hint)
    with pytest.raises(NotFound):
        the_trained(context.store, "wild")


@pytest.mark.parametrize("harm", [lambda path: path.write_bytes(b"x" * 9), lambda path: path.unlink()])
def test_a_damaged_checkpoint_is_not_read(context: Context, tmp_path: Path, harm: Any) -> None:
    written = tmp_path / "written"
    written.mkdir()
    (written / "optimizer.pt").write_bytes(b"state of it")
    parts, files = checkpoints.write_checkpoint(context.store, "training/hurt", written, 8)
    harm(context.store.local_path(f"training/hurt/{parts[0].name}"))
    with pytest.raises(MsmError, match="the checkpoint is missing or damaged"):
        checkpoints.lay_out(context.store, "training/hurt", parts, files, tmp_path / "read")


def test_only_checkpoints_that_nobody_can_need_are_removed(context: Context, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    for step in (0, 8, 16, 24):
        checkpoints.write_checkpoint(context.store, "training/old", tmp_path, step)
    checkpoints.remove_before(context.store, "training/old", 16, kept=(0,))
    steps = [int(name.split("-")[1]) for name in context.store.children("training/old")]
    assert steps == [0, 16, 24]


# -- what is known before anything is paid ---------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "error", "complaint"),
    [
        (("base=bm25",), InputError, "base 'bm25' has no encoder"),
        (("base=nothing-like-it",), NotFound, "nothing to start from"),
        (("systems=all-MiniLM-L6-v2",), NotFound, "has not been mined with all-MiniLM-L6-v2"),
        (("filters=ce-margin=3",), NotFound, "scores"),
        (("filters=no-such-filter=3",), UsageError, "no-such-filter"),
    ],
)
def test_what_does_not_fit_is_refused_before_a_job_is_made(
    context: Context, overrides: tuple[str, ...], error: type[MsmError], complaint: str
) -> None:
    ledger = kit.ledger_of(context)
    with pytest.raises(error, match=complaint):
        submit(ledger, context, [kit.spec(context, "ce-bce", *overrides, name="unfit")])
    assert not [job for job in ledger.jobs() if "unfit" in job.title]


def test_a_cross_encoder_is_no_base_of_a_bi_encoder(context: Context, uncut: TrainedModel) -> None:
    with pytest.raises(InputError, match="base 'uncut' is a cross-encoder"):
        submit(kit.ledger_of(context), context, [kit.spec(context, "mnrl", "base=uncut", name="unfit")])


@pytest.mark.parametrize("name", ["../x", "", "a b", "-x", "x" * 64])
def test_what_is_no_name_is_refused(context: Context, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name"):
        submit(kit.ledger_of(context), context, [kit.spec(context, name=name)])


@pytest.mark.parametrize(
    ("override", "complaint"),
    [("layers=3", "has 2 layers, not 3"), ("max_length=65", "beyond the 64 positions")],
)
def test_what_the_base_has_not_is_refused(context: Context, override: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        submit(kit.ledger_of(context), context, [kit.spec(context, "ce-bce", override, name="unfit")])


def test_a_disk_without_room_for_checkpoints_is_noticed_before_the_first_step(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.training.costs.shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    job = kit.train(context, kit.spec(context, name="full"))
    assert job.state == "failed"
    assert job.error is not None
    assert "GB free" in job.error.message
    assert job.done == 0


def test_three_checkpoints_one_per_snapshot_and_the_one_that_is_made_must_have_room(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.safetensors").write_bytes(bytes(1000))
    base: Any = SimpleNamespace(transformer=str(tmp_path))
    recipe = kit.spec(context, "ce-bce", "snapshots=[0.5]").recipe
    assert costs.room(base, recipe) == 3 * 4 * 1000  # an optimizer has twice the weights
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    one_disk = 3 * 5 * 1000
    for free, enough in ((one_disk - 1, False), (one_disk, True)):
        monkeypatch.setattr(
            "services.training.costs.shutil.disk_usage", lambda path, free=free: SimpleNamespace(free=free)
        )
        with nullcontext() if enough else pytest.raises(MsmError, match="GB free"):
            costs.require_room(Store(str(tmp_path)), base, recipe)
