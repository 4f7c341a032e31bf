"""What a job would cost: measured by a little of its work, told before anything is paid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_collection import make
from small_runs import save_run
from tiny_ce import SENTENCES, tiny_ce
from tiny_model import tiny_model, with_modules
from transformers import AutoTokenizer

from cli.planning import readable_bytes, readable_time
from services import meter
from services.collections.collection import Collection
from services.cross_encoders import models as cross_encoders
from services.jobs.kind import Context, Estimate, Spec
from services.jobs.kinds.encode import EncodeSpec
from services.jobs.kinds.measure import MeasureSpec
from services.jobs.kinds.mine import MineSpec
from services.jobs.kinds.score import ScoreSpec
from services.jobs.ledger import Ledger
from services.jobs.local import run_here
from services.jobs.registry import kind_named
from services.jobs.sqlite_documents import SqliteDocuments
from services.jobs.submit import plan, submit
from services.meter import PeakMemory, pace
from services.settings import Settings
from services.systems import models

PASSAGES = {f"p{n}": f"{SENTENCES[n % 5]} Part {n}." for n in range(12)}
QUERIES = {f"q{n}": f"what of {n}, {SENTENCES[n % 5][:20]}" for n in range(6)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A cross-encoder and an encoder."""
    encoder = tiny_model(tmp_path_factory.mktemp("model"))
    return tiny_ce(tmp_path_factory.mktemp("ce"), "bert"), with_modules(
        encoder, pooling="mean", normalize=True
    )


@pytest.fixture
def collection(tmp_path: Path, folders: tuple[Path, Path]) -> Collection:
    """Six queries, each with four candidates of bm25 and a positive."""
    qrels = [(f"q{n}", f"p{n}", 1) for n in range(6)]
    made = make(tmp_path, passages=PASSAGES, queries={"train": QUERIES}, qrels={"train": qrels})
    save_run(made, "bm25", {f"q{n}": [f"p{(n + m) % 12}" for m in range(1, 5)] for n in range(6)})
    cross_encoders.add(made.store, "ce-tiny", str(folders[0]))
    models.add(made.store, "tiny", str(folders[1]))
    return made


@pytest.fixture
def context(collection: Collection, tmp_path: Path) -> Context:
    def no_client() -> Any:
        raise AssertionError("nothing here asks Elasticsearch")

    return Context(
        settings=Settings(home=tmp_path, device="cpu", threads=1), store=collection.store, elastic=no_client
    )


def measured(context: Context, spec: Spec) -> Estimate:
    """What measuring says; it must leave nothing in the store."""
    before = files(context)
    found = kind_named(spec.kind).measure(context, spec)
    assert files(context) == before
    return found


def files(context: Context) -> list[str]:
    return sorted(str(path) for path in Path(context.store.url).rglob("*") if path.is_file())


def encode_spec(collection: Collection, **more: Any) -> EncodeSpec:
    return EncodeSpec(collection=collection.name, collection_version=1, system="tiny", **more)


# -- measuring -----------------------------------------------------------------------------------------


def test_the_pace_is_that_of_the_work_without_its_slow_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    asked: list[tuple[int, int]] = []

    def work(lo: int, hi: int) -> float:
        clock[0] += (hi - lo) * (0.01 if asked else 5.0)
        asked.append((lo, hi))
        return 3.0 * (hi - lo)

    monkeypatch.setattr(meter.time, "perf_counter", lambda: clock[0])
    assert pace(10_000, work, seconds=4.0) == pytest.approx(0.01 / 3)
    assert asked == [(0, 8), (0, 8), (0, 400)]


def test_a_slow_machine_measures_no_more_than_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def work(lo: int, hi: int) -> float:
        clock[0] += 60.0
        return hi - lo

    monkeypatch.setattr(meter.time, "perf_counter", lambda: clock[0])
    assert pace(10_000, work) == pytest.approx(60 / 8)
    assert clock[0] == 120


def test_peak_memory_has_what_was_held_meanwhile_and_not_what_was_held_before() -> None:
    first = PeakMemory()
    before = first.bytes
    block = np.ones(25_000_000)  # 200 MB
    assert first.bytes - before > 150e6
    del block
    assert first.bytes - before > 150e6
    assert PeakMemory().bytes - before < 150e6


# -- kinds ---------------------------------------------------------------------------------------------


def test_encoding_is_measured_in_tokens(
    context: Context, collection: Collection, folders: tuple[Path, Path]
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folders[1])
    texts = [*PASSAGES.values(), *QUERIES.values()]
    found = measured(context, encode_spec(collection))
    assert (found.passages, found.queries, found.rows, found.chunks) == (12, 6, 18, 2)
    assert found.tokens == sum(len(tokenizer(text)["input_ids"]) for text in texts)
    assert found.bytes == 18 * 32 * 4
    assert found.device == "cpu"
    assert (found.seconds or 0) > 0
    assert (found.memory or 0) > 50e6


def test_exact_mining_is_measured_before_there_are_vectors(context: Context, collection: Collection) -> None:
    spec = MineSpec(collection=collection.name, collection_version=1, split="train", system="tiny", depth=3)
    assert kind_named("mine").estimate(context, spec).seconds is None
    found = measured(context, spec)
    assert (found.queries, found.passages, found.device) == (6, 12, "cpu")
    assert (found.seconds or 0) > 0


def test_scoring_is_measured_in_pairs_and_tokens(
    context: Context, collection: Collection, folders: tuple[Path, Path]
) -> None:
    found = measured(context, score_spec(collection))
    assert (found.queries, found.passages) == (6, 10)
    assert (found.pairs, found.unique_pairs, found.rows) == (30, 30, 30)
    tokenizer = AutoTokenizer.from_pretrained(folders[0])
    pairs = [(f"q{n}", f"p{(n + m) % 12}") for n in range(6) for m in range(5)]
    expected = sum(len(tokenizer(QUERIES[q], PASSAGES[p])["input_ids"]) for q, p in pairs)
    assert found.tokens == expected
    assert (found.seconds or 0) > 0


def test_more_queries_cost_more(context: Context, collection: Collection) -> None:
    few, many = (kind_named("score").estimate(context, score_spec(collection, queries=n)) for n in (2, 6))
    assert few.rows < many.rows
    assert (few.tokens or 0) < (many.tokens or 0)
    assert few.bytes < many.bytes


def score_spec(collection: Collection, **asked: Any) -> ScoreSpec:
    return ScoreSpec.of(collection, "ce-tiny", split="train", **asked)


# -- planning ------------------------------------------------------------------------------------------


def test_what_a_job_needs_first_is_measured_before_it(context: Context, collection: Collection) -> None:
    spec = MineSpec(collection=collection.name, collection_version=1, split="train", system="tiny")
    order: list[str] = []

    def cost(one: Spec) -> Estimate:
        order.append(one.kind)
        return Estimate(chunks=1, rows=1)

    planned = plan(context, [spec], cost=cost)
    assert order == ["encode", "mine"]
    assert [item.spec.kind for item in planned] == ["encode", "mine"]


def test_what_is_forced_is_planned_in_full(context: Context, collection: Collection) -> None:
    ledger = Ledger(SqliteDocuments(context.settings.home / "jobs.sqlite"), shared=False)
    run_here(
        ledger,
        context,
        [job.id for job in submit(ledger, context, [encode_spec(collection)], runner="me").jobs],
        "me",
    )
    (fresh,) = plan(context, [encode_spec(collection)])
    assert fresh.estimate is None
    (anew,) = plan(context, [encode_spec(collection)], force=True)
    assert anew.estimate is not None
    assert anew.estimate.rows == 18


def test_a_job_that_measures_runs_where_the_job_would_and_returns_the_estimate(
    context: Context, collection: Collection
) -> None:
    spec = MeasureSpec.about(score_spec(collection))
    assert kind_named("measure").queue_of(spec) == "gpu"
    mining = MineSpec(
        collection=collection.name, collection_version=1, split="train", system="bm25", engine="es"
    )
    assert kind_named("measure").queue_of(MeasureSpec.about(mining)) == "cpu"
    assert spec.title == "measure score small/train ce-tiny"
    ledger = Ledger(SqliteDocuments(context.settings.home / "jobs.sqlite"), shared=False)
    (job,) = submit(ledger, context, [spec], runner="me").jobs
    (done,) = run_here(ledger, context, [job.id], "me")
    assert done.state == "succeeded"
    assert Estimate.model_validate(done.result).unique_pairs == 30


# -- what people read ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, ""), (0, "0 B"), (999, "999 B"), (1_000, "1 kB"), (1_234_567, "1.2 MB"), (56_700_000, "57 MB"),
     (999_600_000, "1 GB"), (2_500_000_000_000, "2.5 TB")],
)  # fmt: skip
def test_sizes_have_two_digits_and_a_unit(count: int | None, text: str) -> None:
    assert readable_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.2, "0:00:00"), (59.6, "0:01:00"), (3_725, "1:02:05"), (360_000, "100:00:00")],
)
def test_times_have_hours_minutes_and_seconds(seconds: float | None, text: str) -> None:
    assert readable_time(seconds) == text
