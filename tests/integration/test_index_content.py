"""What an index version holds: texts, metadata, vectors, and what it leaves out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from elasticsearch import BadRequestError

from services.collections.collection import Collection
from services.elastic import bulk, mapping, names
from services.elastic.settle import shape
from services.encoding.vectors import open_vectors
from services.errors import Conflict
from services.jobs import steering
from services.jobs.ledger import Ledger
from services.jobs.local import run_here
from services.jobs.sqlite_documents import SqliteDocuments
from services.jobs.submit import submit
from services.systems.registry import Registry
from tests.integration.index_kit import KIND, QUERIES, Bench, passages


def test_a_version_holds_texts_metadata_and_vectors_behind_both_aliases(bench: Bench, unique: str) -> None:
    system = bench.add_system()
    collection = bench.make(unique, passages(40))
    result = bench.build(collection, system)
    alias = names.passages_alias(bench.settings, unique)

    hit = bench.client.get(index=alias, id="p4", source_excludes=["vectors"])["_source"]
    assert hit == {
        "pid": "p4",
        "ord": 4,
        "title": "the on",
        "text": "the on on of the number 4",
        "meta": {"year": 1904, "topic": "on"},
    }
    assert bench.client.count(index=alias)["count"] == 40
    assert bench.client.count(index=names.queries_alias(bench.settings, unique))["count"] == len(QUERIES)
    assert result["passages_index"] == f"{alias}-passages-v1"
    assert result["served"]
    assert all(check["passed"] for check in result["gate"].values())
    assert shape(bench.client, result["passages_index"]) == (1, 0)


def test_a_query_vector_is_looked_up_by_its_qid_and_finds_what_it_should(bench: Bench, unique: str) -> None:
    system = bench.add_system()
    collection = bench.make(unique, passages(40))
    bench.build(collection, system)
    vectors = open_vectors(collection, Registry.load(bench.store).get(system))
    assert vectors is not None
    lookup = {"index": names.queries_alias(bench.settings, unique), "id": "q3", "path": "vectors.tiny"}
    hits = bench.client.search(
        index=names.passages_alias(bench.settings, unique),
        size=40,
        query={"knn": {"field": "vectors.tiny", "k": 40, "query_vector_builder": {"lookup": lookup}}},
    )["hits"]["hits"]
    cosines = vectors.passages.take(np.arange(40)) @ vectors.queries.take(np.array([3]))[0]
    scores = {hit["_source"]["ord"]: 2 * hit["_score"] - 1 for hit in hits}
    assert [scores[n] for n in range(40)] == pytest.approx(cosines.tolist(), abs=1e-5)


def test_deleted_passages_are_not_indexed_and_changed_ones_once(bench: Bench, unique: str) -> None:
    bench.make(unique, passages(20))
    changed = bench.update(unique, [{"pid": "p1", "text": "quite another text"}], delete=["p0"])
    index = bench.build(changed)["passages_index"]
    assert bench.client.count(index=index)["count"] == 19
    assert not bench.client.exists(index=index, id="p0")
    assert bench.client.get(index=index, id="p1")["_source"]["ord"] == 20


@pytest.fixture
def refused(bench: Bench, unique: str, monkeypatch: pytest.MonkeyPatch) -> Collection:
    """Twenty passages, of which the mapping refuses p7."""
    tables = mapping.template("fields")
    tables["meta"]["keyword"] = {"type": "integer"}
    original = mapping.template
    monkeypatch.setattr(mapping, "template", lambda name: tables if name == "fields" else original(name))
    rows = [row | {"topic": "seven" if row["pid"] == "p7" else "7"} for row in passages(20)]
    return bench.make(unique, rows)


def test_a_row_that_the_mapping_refuses_is_dead_and_the_rest_is_served(
    bench: Bench, refused: Collection
) -> None:
    collection = refused
    spec, context = bench.spec(collection), bench.job(1)
    receipts = bench.load(context, spec)
    [dead] = [row for receipt in receipts for row in receipt.dead]
    assert dead.row == "p7"
    assert "failed to parse field [meta.topic] of type [integer]" in dead.reason
    result = KIND.finish(context, spec, receipts)
    assert result["gate"]["count"] | {"found": ""} == {
        "passed": True,
        "found": "",
        "passages": 19,
        "queries": 12,
        "dead": 1,
    }


def test_refused_rows_are_not_tried_again_in_a_version_that_is_closed(
    bench: Bench, refused: Collection, tmp_path: Path
) -> None:
    ledger = Ledger(SqliteDocuments(tmp_path / "ledger.sqlite"), shared=False)
    (made,) = submit(ledger, bench.context, [bench.spec(refused)], runner="here").jobs
    (job,) = run_here(ledger, bench.context, [made.id], "here")
    with pytest.raises(Conflict) as conflict:
        steering.retry(ledger, job.id)
    assert f"`msmctl index build --collection {refused.name} --force`" in str(conflict.value.hint)
    assert (ledger.job(job.id).state, ledger.dead(job.id)[0]["row"]) == ("dead_rows", "p7")


def test_an_unknown_field_is_refused_by_the_strict_mapping(bench: Bench, unique: str) -> None:
    collection = bench.make(unique, passages(1), queries={})
    spec, context = bench.spec(collection), bench.job(1)
    bench.load(context, spec)
    loaded = bulk.load(bench.client, f"msm-{unique}-passages-v1", [[("x", {"pid": "x", "colour": "red"})]])
    assert "strict_dynamic_mapping_exception" in loaded.refused[0].reason
    with pytest.raises(BadRequestError):
        bench.client.indices.create(index=f"msm-{unique}-passages-v1")


@pytest.mark.parametrize("rows", [0, 1])
def test_a_tiny_collection_without_queries_has_an_index(bench: Bench, unique: str, rows: int) -> None:
    collection = bench.make(unique, passages(1), queries={})
    if not rows:
        collection = bench.update(unique, delete=["p0"])
    result = bench.build(collection, bench.add_system())
    assert result["gate"]["count"]["passages"] == rows
    assert len(bench.search(unique, "number").hits) == rows
