"""`--refresh` gives the bytes of a full run, and asks only what can have changed."""

from __future__ import annotations

import zlib
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from small_collection import make, update

from services.collections.collection import Collection
from services.encoding.shards import Shard
from services.encoding.vectors import Table, TermWeights, Vectors, VectorTable, WeightTable
from services.encoding.weights import Weights
from services.errors import MsmError
from services.jobs.context import context_for
from services.jobs.kind import Chunk
from services.jobs.kinds.mine import MineKind, MineSpec
from services.mining.miner import Miner, inputs_of
from services.mining.retrieve import Target
from services.mining.runs import RunManifest, make_current, open_run, write_part
from services.settings import Settings
from services.systems.registry import Registry

SYSTEM = "msmarco-distilbert-base-tas-b"
SPARSE = "splade-v3"
ROWS = 16  # per shard here, so that small collections have several
DIM = 8


def vector(text: str) -> np.ndarray:
    """A vector that depends on the text alone, coarse enough for ties."""
    return np.random.default_rng(zlib.crc32(text.encode())).integers(-3, 4, DIM).astype(np.float32)


def table(collection: Collection, name: str, texts: list[str], *, sparse: bool) -> Table:
    shards, extension = [], "npz" if sparse else "npy"
    for lo in range(0, len(texts), ROWS):
        vectors = np.stack([vector(text) for text in texts[lo : lo + ROWS]])
        save = Weights.of_dense(vectors.clip(0)).save if sparse else partial(np.save, arr=vectors)
        part = collection.store.write_part(
            f"made/{name}", lo, lo + len(vectors), len(vectors), extension,
            lambda stream, save=save: save(stream))  # fmt: skip
        shards.append(Shard(table="passages", texts="", device="cpu", made="", part=part))
    return (WeightTable if sparse else VectorTable)(collection.store, f"made/{name}", shards, DIM)


def target(collection: Collection, system: str = SYSTEM) -> Target:
    sparse = system == SPARSE
    passages = collection.passage_texts(0, collection.passage_count)
    queries = collection.read_queries(0, collection.state.query_count)["text"].to_pylist()
    tables = [table(collection, "passages", passages, sparse=sparse),
              table(collection, "queries", queries, sparse=sparse)]  # fmt: skip
    made = TermWeights if sparse else Vectors
    vectors = made(DIM, "dot", "model", collection.state.fingerprint, ("cpu",), "made", *tables)
    return Target(collection, Registry.load(collection.store).get(system), vectors)


class Run:
    """Mines a collection and makes the run the current one, as the job kind does."""

    def __init__(
        self, collection: Collection, tmp_path, depth: int, *, refresh: bool, system: str = SYSTEM
    ) -> None:
        context = replace(context_for(Settings(home=tmp_path)), store=collection.store)
        aim = target(collection, system)
        inputs = inputs_of(aim, "train", depth=depth, engine="exact", all_queries=False)
        lists, self.facts = Miner(context, aim, inputs).mine(collection.split_qords("train"), refresh=refresh)
        folder = f"collections/small/runs/train/{aim.system.slug}/{'refreshed' if refresh else 'full'}"
        self.part = write_part(collection.store, folder, 0, collection.state.query_count, lists)
        self.manifest = RunManifest(inputs=inputs, folder=folder, parts=[self.part], queries=len(lists),
                                    candidates=self.part.rows, short=0, shards=aim.shards,
                                    facts=self.facts["source"])  # fmt: skip

    def make_current(self, collection: Collection) -> None:
        make_current(collection.store, Registry.load(collection.store).get(self.manifest.inputs.system).slug,
                     self.manifest)  # fmt: skip


def passages(lo: int, hi: int) -> dict[str, str]:
    return {f"p{n}": f"passage {n} about topic {n % 7}" for n in range(lo, hi)}


@pytest.fixture
def before(tmp_path) -> Collection:
    queries = {f"q{n}": f"query {n}" for n in range(20)}
    collection = make(tmp_path, passages=passages(0, 90), queries={"train": queries},
                      qrels={"train": [(f"q{n}", f"p{n}", 1) for n in range(20)]})  # fmt: skip
    Run(collection, tmp_path, 10, refresh=False).make_current(collection)
    return collection


CHANGES = pytest.mark.parametrize(("change", "kept"), [
    ({"passages": passages(90, 130)}, 20),
    ({"delete": ["p3", "p40", "p41", "p55"]}, None),
    ({"passages": {"p12": "another text", "p80": "and one more"}}, None),
    ({"queries": {"train": {"q20": "a new query"}}, "qrels": {"train": [
        *((f"q{n}", f"p{n}", 1) for n in range(20)), ("q20", "p5", 1)]}}, 16),
    ({"qrels": {"train": [(f"q{n}", f"p{n + 30}", 1) for n in range(20)]}}, None),
], ids=["new passages", "removed", "changed", "new queries", "judgements"])  # fmt: skip


@CHANGES
def test_a_refreshed_run_has_the_bytes_of_a_full_one(tmp_path, before, change, kept):
    after = update(tmp_path, **change)
    refreshed = Run(after, tmp_path, 10, refresh=True)
    full = Run(after, tmp_path, 10, refresh=False)
    assert refreshed.part.sha256 == full.part.sha256
    assert refreshed.facts["reused"] > 0
    assert kept is None or refreshed.facts["reused"] == kept


@CHANGES
def test_so_has_one_by_term_weights(tmp_path, before, change, kept):
    Run(before, tmp_path, 10, refresh=False, system=SPARSE).make_current(before)
    after = update(tmp_path, **change)
    refreshed = Run(after, tmp_path, 10, refresh=True, system=SPARSE)
    full = Run(after, tmp_path, 10, refresh=False, system=SPARSE)
    assert refreshed.part.sha256 == full.part.sha256
    assert refreshed.facts["reused"] > 0


def test_it_may_go_deeper_than_the_earlier_run(tmp_path, before):
    refreshed = Run(before, tmp_path, 25, refresh=True)
    assert refreshed.part.sha256 == Run(before, tmp_path, 25, refresh=False).part.sha256


def test_where_every_text_changed_too(tmp_path, before):
    after = update(tmp_path, passages={pid: f"{pid} says something else" for pid in passages(0, 90)})
    refreshed = Run(after, tmp_path, 10, refresh=True)
    assert refreshed.part.sha256 == Run(after, tmp_path, 10, refresh=False).part.sha256


@pytest.mark.parametrize("device", ["NVIDIA H200", ["NVIDIA H200", "cpu"], None])
def test_scores_of_another_kind_of_device_are_not_kept(tmp_path, before, device):
    run = open_run(before, "train", SYSTEM)
    run.manifest.facts["device"] = device
    make_current(before.store, target(before).system.slug, run.manifest)
    refreshed = Run(update(tmp_path, passages=passages(90, 130)), tmp_path, 10, refresh=True)
    assert refreshed.facts["reused"] == 0


def test_the_result_of_a_shallower_job_tells_of_the_deeper_run_that_stands(tmp_path, before, monkeypatch):
    monkeypatch.setattr("services.jobs.kinds.mine._target", lambda context, spec: target(before))
    context = replace(context_for(Settings(home=tmp_path)), store=before.store)
    spec = MineSpec(collection="small", collection_version=1, split="train", system=SYSTEM, depth=5)
    result = MineKind().finish(context, spec, [MineKind().run_chunk(context, spec, Chunk(n=0, lo=0, hi=20))])
    stands = open_run(before, "train", SYSTEM).manifest
    assert (result["depth"], result["candidates"]) == (10, stands.candidates)


def test_a_collection_that_was_replaced_meanwhile_makes_no_run(tmp_path, before, monkeypatch):
    monkeypatch.setattr("services.jobs.kinds.mine._target", lambda context, spec: target(before))
    context = replace(context_for(Settings(home=tmp_path)), store=before.store)
    spec = MineSpec(collection="small", collection_version=1, split="train", system=SYSTEM, depth=5)
    receipt = MineKind().run_chunk(context, spec, Chunk(n=0, lo=0, hi=20))
    other = receipt.model_copy(update={"facts": receipt.facts | {"collection_fingerprint": "another"}})
    with pytest.raises(MsmError, match="replaced while it was mined"):
        MineKind().finish(context, spec, [other])
    with pytest.raises(MsmError, match="replaced while it was mined"):
        MineKind().run_chunk(context, spec, Chunk(n=1, lo=20, hi=25))
    assert MineKind().finish(context, spec, [receipt])["queries"] == 20
