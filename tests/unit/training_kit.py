"""A collection on which a random BERT of a few kilobytes learns something within a few dozen steps."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from services.collections.collection import Collection
from services.jobs.kind import Context
from services.jobs.kinds.train import TrainSpec
from services.jobs.ledger import Ledger
from services.jobs.local import run_here
from services.jobs.records import Job
from services.jobs.sqlite_documents import SqliteDocuments
from services.jobs.submit import submit
from services.settings import Settings
from services.store import Store
from services.systems import models
from services.training.recipe import load_recipe
from tests.unit import small_collection
from tests.unit.small_runs import save_run
from tests.unit.tiny_model import WORDS, tiny_model

TOPICS = [word for word in WORDS if not word.startswith("##") and word not in ("poison", "the", "a")][:20]
SMALL = (
    "steps=24",
    "chunk_steps=8",
    "batch=8",
    "precision=fp32",
    "learning_rate=0.002",
    "evaluation.queries=6",
    "max_length=64",
)


def collection(folder: Path, queries: int = 60) -> Collection:
    """Passages of a word, and queries that ask for one: the other words' passages are mined."""
    draw = random.Random(7)
    passages = {f"p{n}": f"the {word} {draw.choice(TOPICS)} sings" for n, word in enumerate(TOPICS)}
    asked = {f"q{n}": f"where {TOPICS[n % len(TOPICS)]}" for n in range(queries)}
    made = small_collection.make(
        folder,
        passages=passages,
        queries={"train": asked},
        qrels={"train": [(f"q{n}", f"p{n % len(TOPICS)}", 1) for n in range(queries)]},
    )
    pids = list(passages)
    save_run(made, "bm25", {qid: draw.sample(pids, 12) for qid in asked})
    return made


def bench(folder: Path, **options: Any) -> Context:
    """A store with the collection, and the system `tiny` to start from."""
    made = collection(folder, **options)
    models.add(
        made.store,
        "tiny",
        str(tiny_model(folder / "tiny")),
        pooling="mean",
        similarity="cosine",
        max_length=64,
    )

    def nobody() -> None:
        raise AssertionError("training needs no Elasticsearch")

    settings = Settings(home=folder, threads=1, lease_seconds=5, max_attempts=3)
    return Context(settings=settings, store=Store(str(folder / "store")), elastic=nobody)  # type: ignore[arg-type]


def spec(
    context: Context,
    recipe: str = "ce-bce",
    *overrides: str,
    name: str = "made",
    small: tuple[str, ...] = SMALL,
) -> TrainSpec:
    state = Collection.open(context.store, "small").state
    return TrainSpec(
        collection="small",
        collection_version=state.version,
        name=name,
        split="train",
        recipe=load_recipe(recipe, ("base=tiny", *small, *overrides)),
    )


def ledger_of(context: Context) -> Ledger:
    return Ledger(SqliteDocuments(context.settings.home / "ledger.sqlite"), shared=False)


def train(context: Context, asked: TrainSpec, before: Callable[[Ledger, str], None] | None = None) -> Job:
    """Train in this process; the job as it ended."""
    ledger = ledger_of(context)
    (job,) = submit(ledger, context, [asked], runner="test").jobs
    if before is not None:
        before(ledger, job.id)
    return run_here(ledger, context, [job.id], "test")[0]


def children() -> list[psutil.Process]:
    """Processes that train for this one."""
    found = psutil.Process().children(recursive=True)
    return [one for one in found if _is_training(one)]


def _is_training(process: psutil.Process) -> bool:
    try:
        return "services.training.child" in process.cmdline()
    except psutil.NoSuchProcess:  # one that ends just now, or waits to be reaped
        return False
