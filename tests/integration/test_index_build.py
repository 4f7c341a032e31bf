"""Building a version: whatever runs twice has one effect, and nobody touches what is finished."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from services.elastic import bulk, msearch, versions
from services.errors import AuthError, NotFound
from services.jobs import steering
from services.jobs.ledger import Ledger
from services.jobs.local import run_here
from services.jobs.sqlite_documents import SqliteDocuments
from services.jobs.submit import forced, submit
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


def test_plans_that_race_make_one_version(bench: Bench, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = bench.make(unique, passages(5))
    spec, context = bench.spec(collection), bench.job(1)
    number = versions.next_number

    def overtaken(*arguments: Any) -> int:
        monkeypatch.setattr(versions, "next_number", number)
        KIND.plan(context, spec)  # a second attempt, while the first one looks for a number
        return number(*arguments)

    monkeypatch.setattr(versions, "next_number", overtaken)
    KIND.plan(context, spec)
    assert [v.n for v in versions.versions(bench.client, bench.settings, unique)] == [1]


def test_what_a_cancelled_build_left_is_removed_by_the_next_one(
    bench: Bench, unique: str, tmp_path: Path
) -> None:
    collection = bench.make(unique, passages(5))
    ledger = Ledger(SqliteDocuments(tmp_path / "ledger.sqlite"), shared=False)
    (cancelled, open_) = (
        submit(ledger, bench.context, [forced(bench.spec(collection))], runner=runner).jobs[0]
        for runner in ("gone", "elsewhere")
    )
    for job in (cancelled, open_):
        KIND.plan(dataclasses.replace(bench.context, job_id=job.id), bench.spec(collection))
    steering.cancel(ledger, cancelled.id)
    (made,) = submit(ledger, bench.context, [forced(bench.spec(collection))], runner="here").jobs
    (job,) = run_here(ledger, bench.context, [made.id], "here")
    assert job.result is not None
    assert (job.result["version"], job.result["removed"]) == (3, [f"msm-{unique}-passages-v1"])
    there = versions.versions(bench.client, bench.settings, unique)
    assert [(v.n, v.meta.state) for v in there] == [(2, "building"), (3, "complete")]
