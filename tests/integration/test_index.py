"""Index versions on a real Elasticsearch: what is built, what is served, and what a failure leaves behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from elasticsearch import BadRequestError
from elasticsearch.helpers import pack_dense_vector

from services.elastic import bulk, knn, mapping, msearch, names, versions
from services.elastic.report import details, differences
from services.elastic.settle import shape
from services.encoding.vectors import open_vectors
from services.errors import AuthError, CheckFailed, Conflict, InputError, NotFound
from services.jobs.kinds.index import judge_again
from services.search.engine import Engine
from services.search.query_vectors import QueryVectors
from services.search.request import SearchRequest
from services.systems.registry import Registry
from tests.conftest import Stack
from tests.integration.index_kit import KIND, QUERIES, Bench, passages


@pytest.fixture
def bench(stack: Stack, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(stack.settings, tmp_path)
    yield made
    made.clean()


def engine(bench: Bench) -> Engine:
    return Engine(bench.client, bench.settings, QueryVectors(bench.store, bench.settings))


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


def test_deleted_passages_are_not_indexed_and_changed_ones_once(bench: Bench, unique: str) -> None:
    bench.make(unique, passages(20))
    changed = bench.update(unique, [{"pid": "p1", "text": "quite another text"}], delete=["p0"])
    index = bench.build(changed)["passages_index"]
    assert bench.client.count(index=index)["count"] == 19
    assert not bench.client.exists(index=index, id="p0")
    assert bench.client.get(index=index, id="p1")["_source"]["ord"] == 20


def test_a_row_that_the_mapping_refuses_is_dead_and_the_rest_is_served(
    bench: Bench, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = mapping.template("fields")
    tables["meta"]["keyword"] = {"type": "integer"}
    original = mapping.template
    monkeypatch.setattr(mapping, "template", lambda name: tables if name == "fields" else original(name))
    rows = [row | {"topic": "seven" if row["pid"] == "p7" else "7"} for row in passages(20)]
    collection = bench.make(unique, rows)
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


@pytest.mark.slow
def test_readers_notice_nothing_while_a_version_is_built_and_swapped(bench: Bench, unique: str) -> None:
    system = bench.add_system()
    collection = bench.make(unique, passages(60))
    bench.build(collection, system)
    asking, stop, answers, errors = engine(bench), threading.Event(), [], []

    def read() -> None:
        while not stop.is_set():
            try:
                found = asking.search(SearchRequest(query="who runs the river", collection=unique))
                answers.append((found.index, len(found.hits)))
            except Exception as error:  # the test reports it
                errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        bench.build(collection, system, job=2)
        versions.swap(bench.client, bench.settings, versions.previous(bench.client, bench.settings, unique))
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert errors == []
    assert min(count for _, count in answers) == 10
    assert len({index for index, _ in answers}) >= 2


@pytest.mark.parametrize("rows", [0, 1])
def test_a_tiny_collection_without_queries_has_an_index(bench: Bench, unique: str, rows: int) -> None:
    collection = bench.make(unique, passages(1), queries={})
    if not rows:
        collection = bench.update(unique, delete=["p0"])
    result = bench.build(collection, bench.add_system())
    assert result["gate"]["count"]["passages"] == rows
    assert len(engine(bench).search(SearchRequest(query="number", collection=unique)).hits) == rows


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


@pytest.mark.parametrize("kind", ["hnsw", "int8_hnsw", "bbq_hnsw", "flat"])
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_knn_scores_are_the_similarity_itself(
    bench: Bench, unique: str, kind: mapping.VectorIndex, similarity: str
) -> None:
    system = mapping.ServedSystem(
        name="s", slug="s", dims=64, similarity=similarity, fingerprint="f", model="m"
    )
    body = mapping.passages_body({}, [system], kind)
    index = f"msm-{unique}-probe"
    bench.client.indices.create(index=index, settings=body["settings"], mappings=body["mappings"])
    try:
        random = np.random.default_rng(7)
        # Clustered, as texts are: 40 topics.
        vectors = random.normal(size=(40, 64)).repeat(10, 0) + 0.3 * random.normal(size=(400, 64))
        vectors = (vectors if similarity == "dot" else _unit(vectors)).astype(np.float32)
        bulk.load(
            bench.client,
            index,
            [
                [
                    (str(n), {"pid": str(n), "ord": n, "text": "x", "vectors": {"s": pack_dense_vector(row)}})
                    for n, row in enumerate(vectors)
                ]
            ],
        )
        bench.client.indices.refresh(index=index)
        queries = vectors[::50] if similarity == "dot" else _unit(vectors[::50]).astype(np.float32)
        found = knn.search(bench.client, index, system, kind, queries, 10, 2)
        exact = queries @ vectors.T
        for row, (ords, scores) in zip(exact, found, strict=True):
            assert scores.tolist() == pytest.approx(row[ords].tolist(), rel=1e-4, abs=1e-5)
            assert len(set(ords.tolist()) & set(np.argsort(-row)[:10].tolist())) >= 9
    finally:
        bench.client.indices.delete(index=index)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def texts_index(bench: Bench, unique: str) -> Iterator[Callable[[list[str]], str]]:
    """Makes an index of texts in reverse order of their ords."""

    def make(texts: list[str]) -> str:
        rows = [{"pid": f"p{n}", "text": text} for n, text in enumerate(texts)]
        return str(bench.build(bench.make(unique, rows, queries={}, fields={}))["passages_index"])

    return make


def test_equal_scores_come_in_order_of_ord_also_at_the_last_place(
    bench: Bench, texts_index: Callable[[list[str]], str]
) -> None:
    index = texts_index(["red cat", "blue dog"] * 100)
    [(ords, scores)] = msearch.bm25(bench.client, index, ["cat"], 30, 1)
    assert ords.tolist() == list(range(0, 60, 2))
    assert len(set(scores.tolist())) == 1


def test_a_query_without_terms_has_no_hits(bench: Bench, texts_index: Callable[[list[str]], str]) -> None:
    index = texts_index(["red cat", "blue dog"])
    hits = msearch.bm25(bench.client, index, ["", " ", "the of", "?!", "zebra", "cat"], 5, 2)
    assert [len(ords) for ords, _ in hits] == [0, 0, 0, 0, 0, 1]


def test_a_query_of_five_thousand_words_scores_as_its_distinct_words_do(
    bench: Bench, texts_index: Callable[[list[str]], str]
) -> None:
    index = texts_index(["red cat", "red dog sleeping", "blue bird", "green tree near the river"])
    long = "red red sleeping tree " + " ".join(f"word{n}" for n in range(5_000))
    huge = " ".join(f"word{n % 900}" for n in range(20_000)) + " red red sleeping tree"
    short, first, second = msearch.bm25(bench.client, index, ["red red sleeping tree", long, huge], 10, 2)
    for ords, scores in (first, second):
        assert ords.tolist() == short[0].tolist()
        assert scores.tolist() == pytest.approx(short[1].tolist(), rel=1e-6)


def test_more_distinct_words_than_the_node_takes_is_the_querys_fault(
    bench: Bench, texts_index: Callable[[list[str]], str]
) -> None:
    index = texts_index(["red cat"])
    with pytest.raises(InputError, match="too many"):
        msearch.bm25(bench.client, index, [" ".join(f"w{n}" for n in range(70_000))], 10, 1)


def test_a_search_of_a_missing_index_is_not_found(bench: Bench) -> None:
    with pytest.raises(NotFound, match="no such index"):
        msearch.bm25(bench.client, "msm-there-is-none", ["cat"], 10, 1)


def test_a_reader_may_read_and_not_write(bench: Bench, unique: str) -> None:
    from services.elastic.client import connect

    index = bench.build(bench.make(unique, passages(5)))["passages_index"]
    reader = connect(bench.settings, user="reader")
    assert len(msearch.bm25(reader, index, ["number"], 5, 1)[0][0]) == 5
    with pytest.raises(AuthError):
        bulk.load(reader, index, [[("x", {"pid": "x", "ord": 9, "text": "x"})]])
    with pytest.raises(AuthError, match="unauthorized"):
        versions.swap(reader, bench.settings, bench.served(unique))


def test_an_unknown_field_is_refused_by_the_strict_mapping(bench: Bench, unique: str) -> None:
    collection = bench.make(unique, passages(1), queries={})
    spec, context = bench.spec(collection), bench.job(1)
    bench.load(context, spec)
    loaded = bulk.load(bench.client, f"msm-{unique}-passages-v1", [[("x", {"pid": "x", "colour": "red"})]])
    assert "strict_dynamic_mapping_exception" in loaded.refused[0].reason
    with pytest.raises(BadRequestError):
        bench.client.indices.create(index=f"msm-{unique}-passages-v1")
