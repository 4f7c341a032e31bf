"""Mining on a real Elasticsearch: what a run holds, how deep, how chunks and updates do not matter."""

from __future__ import annotations

import dataclasses
import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from services.collections.collection import Collection
from services.collections.sources.source import Given
from services.collections.updater import update_collection
from services.elastic import versions
from services.errors import InputError
from services.jobs.kind import Chunk
from services.jobs.kinds.index import IndexSpec
from services.jobs.kinds.mine import MineKind, MineSpec
from services.mining.bm25 import Bm25Retriever
from services.mining.knn import KnnRetriever
from services.mining.retrieve import retrieve
from services.mining.runs import Run, open_run
from tests.conftest import ROOT, Cli, Stack
from tests.integration.index_kit import QUERIES, Bench, Rows, passages
from tests.unit.tiny_model import WORDS

KIND = MineKind()
SAMPLES = ROOT / "tests" / "samples"
ENDLESS = " ".join("".join(letters) for letters in product("abcdefghijklmnopqrstuvwxyz", repeat=3))
"""17,576 different words; a node with a heap of 512 MB takes 8,192 in one query."""


def judge(bench: Bench, name: str, judged: list[tuple[str, str, int]]) -> Collection:
    """The collection with these judgements of the split `train`."""
    rows = Rows({"qid": qid, "pid": pid, "grade": grade} for qid, pid, grade in judged)
    update_collection(bench.store, name, Given(qrels=[("train", rows)]), bench.how)
    return Collection.open(bench.store, name)


def spec(collection: Collection, system: str = "bm25", **more: object) -> MineSpec:
    more = {"engine": "es", "depth": 10, **more}
    return MineSpec(collection=collection.name, collection_version=collection.state.version, split="train",
                    system=system, **more)  # type: ignore[arg-type]  # fmt: skip


def mine(bench: Bench, asked: MineSpec, chunks: list[Chunk] | None = None) -> tuple[Run, dict]:
    """A whole job, its chunks run in reverse order."""
    cut = chunks or KIND.plan(bench.context, asked)
    done = {chunk.n: KIND.run_chunk(bench.context, asked, chunk) for chunk in reversed(cut)}
    result = KIND.finish(bench.context, asked, [done[chunk.n] for chunk in cut])
    collection = Collection.open(bench.store, asked.collection, asked.collection_version)
    run = open_run(collection, "train", asked.system)
    assert run is not None
    return run, result


def listed(run: Run) -> list[tuple[int, list[int], bytes]]:
    return [(one.qord, one.ords.tolist(), one.scores.tobytes()) for one in run]


def judged_collection(bench: Bench, name: str) -> Collection:
    bench.make(name, passages(300))
    return judge(bench, name, [(qid, f"p{n}", 1) for n, qid in enumerate(QUERIES)])


def test_a_bm25_run_is_what_elasticsearch_returns_as_deep_as_needed(bench: Bench, unique: str) -> None:
    collection = judged_collection(bench, unique)
    index = bench.build(collection)["passages_index"]
    run, result = mine(bench, spec(collection))
    assert (result["queries"], result["short"], result["index"]) == (12, 0, index)
    for n, candidates in enumerate(run):
        body = {"match": {"text": QUERIES[f"q{n}"]}}
        hits = bench.client.search(index=index, query=body, size=len(candidates.ords))["hits"]["hits"]
        ranked = sorted((-hit["_score"], hit["_source"]["ord"]) for hit in hits)
        assert candidates.ords.tolist() == [ord_ for _, ord_ in ranked]
        assert np.allclose(candidates.scores, [-score for score, _ in ranked])
        survivors = [ord_ for ord_ in candidates.ords.tolist() if ord_ != n]
        assert len(survivors) == 10
        assert candidates.ords[-1] != n, "the list ends with the survivor that makes it deep enough"


def test_a_query_without_enough_passages_keeps_all_there_are(bench: Bench, unique: str) -> None:
    rows = [{"pid": f"p{n}", "text": f"the {WORDS[n]}"} for n in range(5, 15)]
    collection = bench.make(unique, rows, {"q": f"{WORDS[5]} {WORDS[6]}", "none": "of in on"}, {})
    collection = judge(bench, unique, [("q", "p5", 1), ("none", "p5", 1)])
    bench.build(collection)
    run, result = mine(bench, spec(collection, depth=50))
    assert result["short"] == 2
    assert [(one.qord, sorted(one.ords.tolist())) for one in run] == [(0, [0, 1])]


def test_it_deepens_past_copies_of_the_positive(bench: Bench, unique: str) -> None:
    copies = [{"pid": f"copy{n}", "text": "the red cat of the big river sings"} for n in range(150)]
    others = [{"pid": f"p{n}", "text": f"a cat sleeps on stone number {n}"} for n in range(40)]
    bench.make(unique, [*copies, *others], {"q": "red cat"}, {})
    collection = judge(bench, unique, [("q", "copy0", 1)])
    bench.build(collection)
    run, result = mine(bench, spec(collection, depth=20))
    assert result["short"] == 0
    assert [len(one.ords) for one in run] == [170]


def test_a_query_that_is_too_long_for_the_node_is_a_dead_row_and_the_rest_is_mined(
    bench: Bench, unique: str
) -> None:
    bench.make(unique, passages(300), {"q0": QUERIES["q0"], "endless": ENDLESS, "q1": QUERIES["q1"]})
    collection = judge(bench, unique, [(qid, "p0", 1) for qid in ("q0", "endless", "q1")])
    bench.build(collection)
    asked = spec(collection)
    [chunk] = KIND.plan(bench.context, asked)
    receipt = KIND.run_chunk(bench.context, asked, chunk)
    assert [(dead.row, "more distinct terms" in dead.reason) for dead in receipt.dead] == [("endless", True)]
    result = KIND.finish(bench.context, asked, [receipt])
    assert (result["queries"], result["short"]) == (2, 0)
    run = open_run(collection, "train", "bm25")
    assert [candidates.qord for candidates in run] == [0, 2]


def test_an_evaluation_names_the_query_that_is_too_long_for_the_node(bench: Bench, unique: str) -> None:
    collection = bench.make(unique, passages(5), {"endless": ENDLESS})
    bench.build(collection)
    with pytest.raises(InputError, match=r"query 'endless': .* more distinct terms"):
        list(retrieve(bench.context, collection, "bm25", np.array([0], np.int32), 10))


def test_how_the_work_is_cut_does_not_matter(bench: Bench, unique: str) -> None:
    system = bench.add_system()
    collection = judged_collection(bench, unique)
    bench.build(collection, system)
    for asked in (spec(collection), spec(collection, system, engine="exact"), spec(collection, system)):
        whole, _ = mine(bench, asked, [Chunk(n=0, lo=0, hi=12)])
        rows = listed(whole)
        pieces = [Chunk(n=0, lo=0, hi=1), Chunk(n=1, lo=1, hi=7), Chunk(n=2, lo=7, hi=12)]
        cut, _ = mine(bench, asked.model_copy(update={"nonce": "again"}), pieces)
        assert listed(cut) == rows


def test_the_recall_of_the_approximate_engine_is_measured(bench: Bench, unique: str) -> None:
    system = bench.add_system(normalize=False)
    collection = judged_collection(bench, unique)
    bench.build(collection, system)
    exact, _ = mine(bench, spec(collection, system, engine="exact"))
    truth = listed(exact)
    approximate, result = mine(bench, spec(collection, system))
    assert result["recall"] >= 0.95
    assert approximate.manifest.facts["recall"] == result["recall"]
    shared = [len(set(a[1]) & set(b[1])) / len(a[1]) for a, b in zip(truth, listed(approximate), strict=True)]
    assert np.mean(shared) >= 0.9
    scores = [one.scores[0] for one in approximate]
    assert np.allclose(scores, [np.frombuffer(row[2], np.float32)[0] for row in truth], rtol=1e-3)


def test_two_jobs_of_one_spec_do_not_touch_each_others_parts(bench: Bench, unique: str) -> None:
    collection = judged_collection(bench, unique)
    bench.build(collection)
    asked = spec(collection)
    one, other = (dataclasses.replace(bench.context, job_id=f"mine-{name}") for name in ("one", "other"))
    cut = [Chunk(n=0, lo=0, hi=6), Chunk(n=1, lo=6, hi=12)]
    begun = KIND.run_chunk(one, asked, cut[0])
    KIND.finish(other, asked, [KIND.run_chunk(other, asked, Chunk(n=0, lo=0, hi=12))])
    result = KIND.finish(one, asked, [begun, KIND.run_chunk(one, asked, cut[1])])
    assert result["queries"] == 12
    assert len(listed(open_run(collection, "train", "bm25"))) == 12


@pytest.mark.parametrize("systems", [[], ["tiny"]], ids=["bm25", "kNN"])
def test_a_chunk_whose_index_is_removed_under_it_asks_the_one_that_is_served_then(
    bench: Bench, unique: str, systems: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.add_system("tiny")
    collection = judged_collection(bench, unique)
    bench.build(collection, *systems, vector_index="flat")
    asked = spec(collection, *systems)
    whole, _ = mine(bench, asked.model_copy(update={"nonce": "undisturbed"}))
    undisturbed = listed(whole)

    for retriever in (Bm25Retriever, KnnRetriever):
        monkeypatch.setattr(retriever, "batch", 2)

    def swapped(rows: int) -> None:  # the first sign of life comes after the first batch
        if bench.served(unique).n == 1:
            bench.build(collection, *systems, job=2, vector_index="flat")
            versions.remove(bench.client, versions.version(bench.client, bench.settings, unique, 1))

    first, second = Chunk(n=0, lo=0, hi=6), Chunk(n=1, lo=6, hi=12)
    before = KIND.run_chunk(bench.context, asked, first)
    after = KIND.run_chunk(dataclasses.replace(bench.context, checkpoint=swapped), asked, second)
    assert before.facts["source"]["index"] == f"msm-{unique}-passages-v1"
    assert after.facts["source"]["index"] == f"msm-{unique}-passages-v2"
    result = KIND.finish(bench.context, asked, [before, after])
    assert result["index"] == [f"msm-{unique}-passages-v1", f"msm-{unique}-passages-v2"]
    run = open_run(collection, "train", asked.system)
    assert listed(run) == undisturbed


def test_refreshing_bm25_asks_all_again_only_when_passages_changed(bench: Bench, unique: str) -> None:
    collection = judged_collection(bench, unique)
    bench.build(collection)
    mine(bench, spec(collection))
    judged = judge(bench, unique, [(qid, f"p{n + 50}", 1) for n, qid in enumerate(QUERIES)])
    _, result = mine(bench, spec(judged, refresh=True))
    assert result["reused"] > 0
    refreshed = listed(open_run(judged, "train", "bm25"))
    full, _ = mine(bench, spec(judged, nonce="full"))
    assert refreshed == listed(full)
    grown = bench.update(unique, [{"pid": "new", "text": "a red cat runs"}])
    bench.build(grown, job=2)
    _, result = mine(bench, spec(grown, refresh=True))
    assert result["reused"] == 0


def test_what_is_needed_first_is_required_and_what_is_fresh_is_not(bench: Bench, unique: str) -> None:
    system = bench.add_system()
    collection = judged_collection(bench, unique)
    version = collection.state.version
    assert KIND.requires(bench.context, spec(collection)) == [
        IndexSpec(collection=unique, collection_version=version)
    ]
    assert KIND.requires(bench.context, spec(collection, system)) == [
        IndexSpec(collection=unique, collection_version=version, systems=(system,))
    ]
    assert [need.kind for need in KIND.requires(bench.context, spec(collection, system, engine="exact"))] == [
        "encode"
    ]
    bench.build(collection, system)
    assert KIND.requires(bench.context, spec(collection)) == []
    assert KIND.requires(bench.context, spec(collection, system)) == []
    assert KIND.fresh(bench.context, spec(collection)) is None
    mine(bench, spec(collection, depth=20))
    assert KIND.fresh(bench.context, spec(collection, depth=20))
    assert KIND.fresh(bench.context, spec(collection, depth=10))
    assert KIND.fresh(bench.context, spec(collection, depth=21)) is None
    judged = judge(bench, unique, [("q0", "p99", 1)])
    assert KIND.fresh(bench.context, spec(judged, depth=20)) is None


@pytest.mark.slow
def test_from_files_to_verified_negatives_on_the_command_line(
    stack: Stack, cli: Cli, unique: str, tmp_path: Path
) -> None:
    def ok(*arguments: str | Path) -> str:
        answer = cli(*arguments, home=stack.home)
        assert answer.code == 0, answer.stderr
        return answer.stdout

    queries, qrels = (f"train={SAMPLES / f'{kind}.train.tsv'}" for kind in ("queries", "qrels"))
    passages = SAMPLES / "passages.tsv"
    ok("collection", "import", unique, "--passages", passages, "--queries", queries, "--qrels", qrels)
    where = ("--collection", unique)
    mined = json.loads(ok("mine", *where, "--system", "bm25,all-MiniLM-L6-v2", "--depth", "5", "--json"))
    assert [one["state"] for one in mined] == ["succeeded", "succeeded"]
    file = tmp_path / "negatives.jsonl.gz"
    exported = json.loads(ok("export", "hard-negatives", *where, "-o", file, "--json"))
    assert (exported["queries"], exported["systems"]) == (24, ["bm25", "all-MiniLM-L6-v2"])
    report = json.loads(ok("verify", file, *where, "--json"))
    assert report["ok"]
    assert report["systems"]["all-MiniLM-L6-v2"] == {"lists": 24, "negatives": 120, "min": 5, "max": 5}
    before = file.read_bytes()

    again = json.loads(ok("mine", *where, "--system", "bm25,all-MiniLM-L6-v2", "--depth", "5", "--json"))
    assert [one["state"] for one in again] == ["fresh", "fresh"]
    assert json.loads(ok("export", "hard-negatives", *where, "-o", file, "--json"))["fresh"]
    ok("mine", *where, "--system", "bm25", "--depth", "5", "--force")
    ok("export", "hard-negatives", *where, "-o", file)
    assert file.read_bytes() == before

    assert cli("verify", file, *where, "--require-depth", "6", home=stack.home).code == 1
    assert cli("mine", *where, "--system", "bn25", home=stack.home).code == 7
    assert cli("mine", *where, "--system", "bm25", "--split", "dev", home=stack.home).code == 7
    assert cli("mine", *where, "--system", "bm25", "--depth", "0", home=stack.home).code == 2
