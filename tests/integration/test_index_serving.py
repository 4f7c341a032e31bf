"""Which version is served: judged by the gate, swapped in one step, rolled back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from services.elastic import names, versions
from services.elastic.report import details, differences
from services.errors import CheckFailed, Conflict
from services.jobs.index_gate import judge_again
from services.search.opened import blocking
from services.search.request import SearchRequest
from tests.integration.index_kit import KIND, Bench, passages


def test_fresh_is_judged_by_what_is_served(bench: Bench, unique: str) -> None:
    system = bench.add_system()
    collection = bench.make(unique, passages(20))
    text, dense = bench.spec(collection), bench.spec(collection, system)
    assert KIND.fresh(bench.context, text) is None
    bench.build(collection)
    assert KIND.fresh(bench.context, text) == f"msm-{unique}-passages-v1"
    assert KIND.fresh(bench.context, dense) is None
    assert [need.system for need in KIND.requires(bench.context, dense)] == [system]
    bench.build(collection, system, job=2)
    assert KIND.fresh(bench.context, dense) == f"msm-{unique}-passages-v2"
    assert KIND.fresh(bench.context, bench.spec(collection, system, vector_index="flat")) is None
    changed = bench.update(unique, [{"pid": "new", "text": "the new moon"}])
    assert KIND.fresh(bench.context, bench.spec(changed)) is None


def test_a_failing_gate_leaves_the_aliases_alone_and_says_what_failed(bench: Bench, unique: str) -> None:
    collection = bench.make(unique, passages(30))
    bench.build(collection)
    changed = bench.update(unique, [{"pid": "new", "text": "the new moon"}])
    spec, context = bench.spec(changed), bench.job(2)
    KIND.plan(context, spec)  # and no chunk is loaded
    with pytest.raises(CheckFailed, match="count: 0 of 31 passages") as caught:
        KIND.finish(context, spec, [])
    assert "msmctl index rm v2" in str(caught.value.hint)
    assert bench.served(unique).n == 1
    failed = versions.version(bench.client, bench.settings, unique, 2)
    assert failed.meta.state == "failed"
    with pytest.raises(Conflict, match="count: 0 of 31"):
        versions.swap(bench.client, bench.settings, failed)
    checks, _ = judge_again(bench.context, failed)
    assert {check.name for check in checks if not check.passed} == {"count", "same text", "own text"}


def test_recall_below_the_bar_is_told(bench: Bench, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    system = bench.add_system()
    collection = bench.make(unique, passages(300))
    spec, context = bench.spec(collection, system), bench.job(1)
    bench.encode(collection, system)
    receipts = bench.load(context, spec)
    monkeypatch.setattr("services.elastic.gate.RECALL", 1.01)
    with pytest.raises(
        CheckFailed, match=r"kNN tiny: recall@10 .* on 12 queries \(hnsw, num_candidates 200\)"
    ):
        KIND.finish(context, spec, receipts)


@pytest.mark.slow
def test_two_old_versions_stay_and_rollback_is_one_call(bench: Bench, unique: str) -> None:
    collection = bench.make(unique, passages(5))
    removed = [bench.build(collection, job=n)["removed"] for n in range(1, 5)]
    assert removed == [[], [], [], [f"msm-{unique}-passages-v1"]]
    there = versions.versions(bench.client, bench.settings, unique)
    assert [(v.n, v.served) for v in there] == [(2, False), (3, False), (4, True)]
    back = versions.previous(bench.client, bench.settings, unique)
    versions.swap(bench.client, bench.settings, back)
    assert bench.served(unique).n == 3
    for alias in (names.passages_alias(bench.settings, unique), names.queries_alias(bench.settings, unique)):
        [index] = bench.client.indices.get_alias(name=alias)
        assert index.endswith("-v3")
    with pytest.raises(Conflict, match="is served"):
        versions.remove(bench.client, bench.served(unique))
    # A number is never given twice, even after the newest version is removed from service.
    assert bench.build(collection, job=5)["version"] == 5


@pytest.mark.slow
def test_a_build_for_text_alone_takes_no_served_system_from_readers(bench: Bench, unique: str) -> None:
    system = bench.add_system()
    collection = bench.make(unique, passages(20))
    bench.build(collection, system)
    changed = bench.update(unique, [{"pid": "new", "text": "the new moon"}])
    text = bench.build(changed, job=2)
    assert (text["served"], text["systems"]) == (False, [])
    assert bench.served(unique).n == 1
    assert versions.fresh_text_index(bench.client, bench.settings, changed) == text["passages_index"]
    both = bench.build(changed, system, job=3)
    assert (both["served"], both["systems"]) == (True, ["tiny"])


def test_served_systems_stay_when_another_one_is_added(bench: Bench, unique: str) -> None:
    one, two = bench.add_system("tiny"), bench.add_system("dotted", seed=1, normalize=False)
    collection = bench.make(unique, passages(30))
    bench.build(collection, one)
    result = bench.build(collection, two, job=2)
    assert sorted(result["systems"]) == ["dotted", "tiny"]
    mapped = details(bench.client, bench.served(unique))["mappings"]["passages"]["vectors"]["properties"]
    assert {name: field["similarity"] for name, field in mapped.items()} == {
        "tiny": "cosine",
        "dotted": "max_inner_product",
    }
    first, second = versions.versions(bench.client, bench.settings, unique)
    changed = {
        row["what"] for row in differences(details(bench.client, first), details(bench.client, second))
    }
    assert "mappings.passages.vectors.properties.dotted.similarity" in changed
    assert not [what for what in changed if "tiny" in what or "fingerprint" in what.split(".")[-1] == "text"]


@pytest.mark.slow
def test_readers_notice_nothing_while_a_version_is_built_and_swapped(bench: Bench, unique: str) -> None:
    system = bench.add_system()
    collection = bench.make(unique, passages(60))
    bench.build(collection, system)
    stop, answers, errors = threading.Event(), [], []

    def read() -> None:
        request = SearchRequest(query="who runs the river")
        with blocking(bench.settings, bench.store) as (runner, engine):
            while not stop.is_set():
                try:
                    found = runner.run(engine.search(unique, request))
                    answers.append((found.index, len(found.hits)))
                    assert not found.degraded
                except Exception as error:  # the test reports it
                    errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        bench.build(collection, system, job=2)
        noticed(lambda: any(index.endswith("-v2") for index, _ in answers))
        versions.swap(bench.client, bench.settings, versions.previous(bench.client, bench.settings, unique))
        noticed(lambda: answers[-1][0].endswith("-v1"))
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert errors == []
    assert min(count for _, count in answers) == 10
    assert {index[-2:] for index, _ in answers} == {"v1", "v2"}


def noticed(seen: Callable[[], bool]) -> None:
    """Wait for readers, who remember for seconds what is served."""
    until = time.monotonic() + 60
    while not seen():
        assert time.monotonic() < until
        time.sleep(0.05)
