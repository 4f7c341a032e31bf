"""Vectors of a collection: made shard by shard, kept by content, never those of other texts or models."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_collection import make, update
from tiny_model import WORDS, poisoned, tiny_model, with_modules

from services.collections.collection import Collection
from services.encoding import shards as shards_module
from services.encoding.encoder import load_encoder
from services.encoding.vectors import Vectors, open_vectors
from services.encoding.verify import verify_system
from services.errors import InputError, MsmError
from services.jobs.kind import Chunk, Context, DeadRow, Receipt
from services.jobs.kinds.encode import EncodeKind, EncodeSpec
from services.settings import Settings
from services.store import Store
from services.systems.models import add, pull
from services.systems.registry import Registry
from services.systems.system import System

KIND = EncodeKind()
QUERIES = {"train": {f"q{n}": f"who runs {WORDS[n]}" for n in range(5)}}


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight rows per shard, so that a handful of texts has several."""
    monkeypatch.setattr(shards_module, "SHARD_ROWS", 8)
    monkeypatch.setattr("services.jobs.kinds.encode.SHARD_ROWS", 8)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_modules(tiny_model(tmp_path_factory.mktemp("model")), pooling="mean", normalize=True)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def context(store: Store, tmp_path: Path) -> Context:
    def no_client() -> Any:
        raise AssertionError("encoding asks nothing of Elasticsearch")

    return Context(settings=Settings(home=tmp_path, device="cpu", threads=1), store=store, elastic=no_client)


@pytest.fixture
def system(store: Store, model: Path) -> System:
    return add(store, "tiny", str(model))[0]


def passages(count: int) -> dict[str, str]:
    return {f"p{n}": f"the {WORDS[n % 26]} of {WORDS[n // 26]}" for n in range(count)}


def collection_of(tmp_path: Path, count: int = 20) -> Collection:
    return make(tmp_path, passages=passages(count), queries=QUERIES, qrels={"train": [("q0", "p0", 1)]})


def spec_for(collection: Collection, **more: Any) -> EncodeSpec:
    return EncodeSpec(
        collection=collection.name, collection_version=collection.state.version, system="tiny", **more
    )


def run(context: Context, spec: EncodeSpec, chunks: list[Chunk] | None = None) -> list[Receipt]:
    """Plan, do and finish a job, as an executor does; the receipts."""
    KIND.requires(context, spec)
    receipts = [KIND.run_chunk(context, spec, chunk) for chunk in chunks or KIND.plan(context, spec)]
    KIND.finish(context, spec, receipts)
    return receipts


def opened(collection: Collection, system: System) -> Vectors:
    vectors = open_vectors(collection, system)
    assert vectors is not None
    return vectors


def test_a_job_has_one_chunk_per_shard_queries_after_passages(
    context: Context, tmp_path: Path, system: System
) -> None:
    chunks = KIND.plan(context, spec_for(collection_of(tmp_path)))
    assert [(chunk.n, chunk.lo, chunk.hi) for chunk in chunks] == [
        (0, 0, 8),
        (1, 8, 16),
        (2, 16, 20),
        (3, 24, 29),
    ]


def test_every_row_gets_the_vector_of_its_own_text(context: Context, tmp_path: Path, system: System) -> None:
    collection = collection_of(tmp_path)
    spec = spec_for(collection)
    assert KIND.fresh(context, spec) is None
    assert open_vectors(collection, system) is None
    run(context, spec)
    vectors = opened(collection, system)
    encoder = load_encoder(context.store, system, context.settings)
    expected = encoder.encode(collection.passage_texts(0, 20), "passage")
    assert (vectors.dim, vectors.similarity, vectors.devices) == (32, "cosine", ("cpu",))
    assert np.abs(np.vstack([rows for _, _, rows in vectors.passages.blocks()]) - expected).max() < 1e-6
    wanted = np.array([19, 0, 8, 8, 7])
    assert np.array_equal(
        vectors.passages.take(wanted), np.vstack([v for *_, v in vectors.passages.blocks()])[wanted]
    )
    assert np.abs(vectors.queries.take(np.array([3])) - encoder.encode([f"who runs {WORDS[3]}"])).max() < 1e-6
    assert KIND.fresh(context, spec) == "20 passages and 5 queries have vectors already"
    assert KIND.plan(context, spec) == []


def test_the_bytes_are_the_same_whoever_encodes_and_in_whatever_order(
    context: Context, tmp_path: Path, system: System
) -> None:
    collection = collection_of(tmp_path)
    first = run(context, spec_for(collection))
    again = spec_for(collection, nonce="again")
    second = run(context, again, list(reversed(KIND.plan(context, again))))
    assert {receipt.parts[0].sha256 for receipt in first} == {receipt.parts[0].sha256 for receipt in second}
    assert len(opened(collection, system).passages.shards) == 3


def test_after_an_update_only_ranges_with_new_texts_are_encoded(
    context: Context, tmp_path: Path, system: System
) -> None:
    run(context, spec_for(collection_of(tmp_path)))
    grown = update(tmp_path, passages={"p3": "the old fish", "new": "a new bird"}, delete=["p5"])
    receipts = run(context, spec_for(grown))
    assert [(receipt.parts[0].lo, receipt.parts[0].hi) for receipt in receipts] == [(16, 22)]
    assert opened(grown, system).passages.count == 22
    earlier = Collection.open(context.store, grown.name, version=1)
    assert opened(earlier, system).passages.count == 20


def test_an_updated_collection_has_the_bytes_of_one_encoded_at_once(
    context: Context, tmp_path: Path, system: System
) -> None:
    run(context, spec_for(collection_of(tmp_path)))
    grown = update(tmp_path, passages={"new": "a new bird"}, delete=["p5"])
    run(context, spec_for(grown))
    stepwise = opened(grown, system).fingerprint
    context.store.remove(f"collections/{grown.name}/vectors")
    run(context, spec_for(grown))
    assert opened(grown, system).fingerprint == stepwise


def test_another_checkpoint_at_the_same_path_is_never_mistaken_for_the_old_one(
    context: Context, tmp_path: Path, store: Store, model: Path
) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "checkpoint"))
    system, _ = add(store, "tiny", str(folder))
    collection = collection_of(tmp_path)
    run(context, spec_for(collection))
    old = opened(collection, system)
    tiny_model(folder, seed=1)
    pull(store, system, str(folder))
    assert KIND.fresh(context, spec_for(collection)) is None
    run(context, spec_for(collection))
    new = opened(collection, system)
    assert new.folder != old.folder
    assert np.abs(new.passages.take(np.arange(20)) - old.passages.take(np.arange(20))).max() > 1e-2


def test_another_prompt_or_length_makes_other_vectors(
    context: Context, tmp_path: Path, store: Store, system: System, model: Path
) -> None:
    collection = collection_of(tmp_path)
    run(context, spec_for(collection))
    changed, _ = add(store, "tiny", str(model), max_length=5, replace=True)
    assert open_vectors(collection, system) is not None
    assert open_vectors(collection, changed) is None


@pytest.mark.parametrize(
    "harm",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-4]),
        lambda file: file.unlink(),
    ],
    ids=["truncated", "missing"],
)
def test_a_broken_shard_is_encoded_again_and_not_used(
    context: Context, tmp_path: Path, system: System, harm: Callable[[Path], object]
) -> None:
    collection = collection_of(tmp_path)
    run(context, spec_for(collection))
    vectors = opened(collection, system)
    broken = vectors.passages.parts[1]
    harm(context.store.local_path(f"{vectors.folder}/passages/{broken.name}"))
    with pytest.raises(MsmError, match=broken.name):
        vectors.passages.take(np.array([8]))
    assert open_vectors(collection, system) is None
    assert [receipt.parts[0] for receipt in run(context, spec_for(collection))] == [broken]
    assert opened(collection, system).fingerprint == vectors.fingerprint


def test_a_shard_with_flipped_bits_is_found_by_verify(
    context: Context, tmp_path: Path, system: System
) -> None:
    collection = collection_of(tmp_path)
    run(context, spec_for(collection))
    vectors = opened(collection, system)
    name = vectors.passages.parts[2].name
    file = context.store.local_path(f"{vectors.folder}/passages/{name}")
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    report = verify_system(context.store, context.settings, "tiny", collection.name)
    assert report.problems == [f"{vectors.folder}: {name}: sha256 differs"]
    assert "encode --force" in report.remedy
    run(context, spec_for(collection, nonce="again"))
    assert verify_system(context.store, context.settings, "tiny", collection.name).problems == []


def test_two_jobs_that_finish_at_once_lose_nothing(context: Context, tmp_path: Path, system: System) -> None:
    collection = collection_of(tmp_path)
    folder = shards_module.VectorFolder.of(context.store, collection.name, system)
    assert folder is not None
    spec = spec_for(collection)
    mine, theirs = (
        [
            shards_module.Shard.model_validate(KIND.run_chunk(context, spec, chunk).facts["shard"])
            for chunk in KIND.plan(context, spec)[n::2]
        ]
        for n in (0, 1)
    )
    folder.add(mine)
    written = context.store.children(folder.key)[-1]
    content = context.store.read_json(f"{folder.key}/{written}")
    context.store.remove(f"{folder.key}/{written}")
    folder.add(theirs)  # without having seen the first
    context.store.write_json(f"{folder.key}/{written}", content)
    assert opened(collection, system).passages.count == 20


def test_a_text_that_cannot_be_encoded_is_a_dead_row_with_a_zero_vector(
    context: Context, tmp_path: Path, store: Store, model: Path
) -> None:
    folder = poisoned(Path(shutil.copytree(model, tmp_path / "poisoned")))
    system, _ = add(store, "tiny", str(folder))
    collection = make(
        tmp_path, passages=passages(9) | {"bad": "poison cat"}, queries={"train": {"q": "poison"}}
    )
    receipts = run(context, spec_for(collection))
    dead = [row for receipt in receipts for row in receipt.dead]
    assert dead == [
        DeadRow(row="bad", reason="passages: the model's output is not a number"),
        DeadRow(row="q", reason="queries: the model's output is not a number"),
    ]
    vectors = opened(collection, system)
    assert not vectors.passages.take(np.array([9])).any()
    assert vectors.passages.take(np.arange(9)).any(axis=1).all()
    assert [shard.dead for shard in vectors.passages.shards] == [0, 1]


def test_progress_is_told_block_by_block_and_may_stop_the_chunk(
    context: Context, tmp_path: Path, system: System
) -> None:
    class Stopped(Exception):
        pass

    told: list[int] = []

    def checkpoint(rows: int) -> None:
        told.append(rows)
        if rows == 8:
            raise Stopped

    context.checkpoint = checkpoint
    with pytest.raises(Stopped):
        run(context, spec_for(collection_of(tmp_path)))
    assert told[-1] == 8
    assert context.store.children("collections/small/vectors") == []


def test_the_estimate_counts_what_is_missing_and_learns_the_speed(
    context: Context, tmp_path: Path, system: System
) -> None:
    collection = collection_of(tmp_path)
    spec = spec_for(collection)
    first = KIND.estimate(context, spec)
    assert (first.chunks, first.rows, first.bytes, first.seconds) == (4, 25, 25 * 32 * 4, None)
    receipts = [KIND.run_chunk(context, spec, chunk) for chunk in KIND.plan(context, spec)]
    for receipt in receipts:
        receipt.seconds = 0.5
    assert KIND.finish(context, spec, receipts)["rows_per_second"] == 12.5
    assert KIND.estimate(context, spec).rows == 0
    assert KIND.estimate(context, spec_for(collection, nonce="again")).seconds == 2.0


def test_a_dot_product_system_keeps_the_length_of_its_vectors(
    context: Context, tmp_path: Path, store: Store, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tiny_model(tmp_path_factory.mktemp("dot"))
    system, _ = add(store, "tiny", str(folder), pooling="cls", similarity="dot")
    collection = collection_of(tmp_path)
    run(context, spec_for(collection))
    norms = np.linalg.norm(opened(collection, system).passages.take(np.arange(20)), axis=1)
    assert norms.min() > 2


def test_bm25_has_no_vectors(tmp_path: Path, store: Store) -> None:
    with pytest.raises(InputError, match="no vectors"):
        open_vectors(collection_of(tmp_path), Registry.load(store).get("bm25"))
