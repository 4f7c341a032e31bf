"""Building a version: whatever runs twice has one effect, and nobody touches what is finished."""

from __future__ import annotations

import pytest

from services.elastic import bulk, msearch, versions
from services.errors import AuthError, NotFound
from tests.integration.index_kit import KIND, QUERIES, Bench, passages


def test_whatever_runs_twice_has_one_effect(bench: Bench, unique: str) -> None:
    collection = bench.make(unique, passages(30))
    spec, context = bench.spec(collection), bench.job(1)
    chunks = KIND.plan(context, spec)
    assert KIND.plan(context, spec) == chunks
    first = [KIND.run_chunk(context, spec, chunk) for chunk in chunks]
    second = [KIND.run_chunk(context, spec, chunk) for chunk in chunks]
    assert [receipt.rows for receipt in first] == [receipt.rows for receipt in second] == [30, len(QUERIES)]
    one, two = KIND.finish(context, spec, first), KIND.finish(context, spec, first)
    assert one["passages_index"] == two["passages_index"]
    assert [v.n for v in versions.versions(bench.client, bench.settings, unique)] == [1]


def test_a_late_writer_cannot_touch_a_finished_version(bench: Bench, unique: str) -> None:
    collection = bench.make(unique, passages(5))
    index = bench.build(collection)["passages_index"]
    with pytest.raises(AuthError, match="blocked"):
        bulk.load(bench.client, index, [[("late", {"pid": "late", "ord": 99, "text": "late"})]])
    assert bench.client.count(index=index)["count"] == 5


@pytest.mark.slow
def test_two_builds_of_the_same_content_rank_and_score_alike(bench: Bench, unique: str) -> None:
    collection = bench.make(unique, passages(400))
    texts = [*QUERIES.values(), "number 7", "the red of blue", "cat"]
    lists = []
    for job in (1, 2):
        context, spec = bench.job(job), bench.spec(collection)
        chunks = KIND.plan(context, spec)
        # The second one in another order, with a chunk sent twice.
        order = chunks if job == 1 else [*reversed(chunks), chunks[0]]
        receipts = [KIND.run_chunk(context, spec, chunk) for chunk in order]
        index = KIND.finish(context, spec, receipts)["passages_index"]
        lists.append(msearch.bm25(bench.client, index, texts, 50, 2))
    for (one, ones), (two, twos) in zip(*lists, strict=True):
        assert one.tolist() == two.tolist()
        assert ones.tolist() == twos.tolist()


def test_an_index_of_the_same_name_that_is_not_ours_is_passed_over(bench: Bench, unique: str) -> None:
    bench.client.indices.create(index=f"msm-{unique}-passages-v1")
    try:
        collection = bench.make(unique, passages(5))
        assert bench.build(collection)["version"] == 2
        assert [v.n for v in versions.versions(bench.client, bench.settings, unique)] == [2]
    finally:
        bench.client.indices.delete(index=f"msm-{unique}-passages-v1")


def test_a_version_removed_under_its_job_is_a_clear_failure(bench: Bench, unique: str) -> None:
    collection = bench.make(unique, passages(5))
    spec, context = bench.spec(collection), bench.job(1)
    [first, *_] = KIND.plan(context, spec)
    versions.remove(bench.client, versions.version(bench.client, bench.settings, unique, 1))
    with pytest.raises(NotFound, match="was removed"):
        KIND.run_chunk(context, spec, first)
