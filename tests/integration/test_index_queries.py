"""Asking a version: BM25 and kNN in batches, and who may."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from elasticsearch.helpers import pack_dense_vector

from services.elastic import bulk, knn, mapping, msearch, versions
from services.elastic.client import connect
from services.elastic.errors import TooManyTerms
from services.errors import AuthError, NotFound
from tests.integration.index_kit import Bench, passages


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
    texts = ["red", " ".join(f"w{n}" for n in range(70_000)), "cat"]
    first, refused, last = msearch.bm25(bench.client, index, texts, 10, 1)
    assert [hits[0].tolist() for hits in (first, last)] == [[0], [0]]
    assert isinstance(refused, TooManyTerms)
    assert "more distinct terms than the node takes in one query" in refused.message
    assert "shorten" in str(refused.hint)


def test_a_search_of_a_missing_index_is_not_found(bench: Bench) -> None:
    with pytest.raises(NotFound, match="no such index"):
        msearch.bm25(bench.client, "msm-there-is-none", ["cat"], 10, 1)


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


def test_a_reader_may_read_and_not_write(bench: Bench, unique: str) -> None:
    index = bench.build(bench.make(unique, passages(5)))["passages_index"]
    reader = connect(bench.settings, user="reader")
    assert len(msearch.bm25(reader, index, ["number"], 5, 1)[0][0]) == 5
    with pytest.raises(AuthError):
        bulk.load(reader, index, [[("x", {"pid": "x", "ord": 9, "text": "x"})]])
    with pytest.raises(AuthError, match="unauthorized"):
        versions.swap(reader, bench.settings, bench.served(unique))
