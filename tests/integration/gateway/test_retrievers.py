"""Native retriever trees that a free licence refuses, over any index and by clients as they are."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from elasticsearch import BadRequestError, NotFoundError
from elasticsearch.helpers.vectorstore import DenseVectorStrategy, EmbeddingService, VectorStore

from tests.integration.conftest import MODEL, Sample
from tests.integration.gateway.ends import Ends, by_rrf, ids


def test_rrf_over_any_index_is_the_fusion_of_native_searches(ends: Ends, index: str) -> None:
    node, through = ends.both()
    standard = {"query": {"match": {"text": "frost"}}, "filter": [{"term": {"kind": "k1"}}]}
    knn = {"field": "v", "query_vector": [7.2, 1.0], "k": 10, "num_candidates": 40}
    lists = [
        ids(node.search(index=index, retriever={kind: body}, size=10))
        for kind, body in (("standard", standard), ("knn", knn))
    ]
    expected = by_rrf(*lists, k=20)
    answer = through.search(
        index=index,
        retriever={"rrf": {"retrievers": [{"standard": standard}, {"knn": knn}], "rank_constant": 20}},
        size=4,
        source=["kind"],
    ).body
    assert [hit["_score"] for hit in answer["hits"]["hits"]] == pytest.approx([s for _, s in expected[:4]])
    assert set(ids(answer)) <= {name for name, score in expected if score >= expected[3][1]}
    assert answer["hits"]["max_score"] == pytest.approx(expected[0][1])
    matches = {str(n) for n in range(40) if n % 8 == 7 and n % 2} | set(lists[1])
    assert answer["hits"]["total"] == {"value": len(matches), "relation": "eq"}
    assert set(answer["hits"]["hits"][0]["_source"]) == {"kind"}
    assert set(answer["hits"]["hits"][0]["fields"]["msmctl"][0]["retrievers"]) <= {"0.standard", "1.knn"}


def test_linear_normalises_and_weighs(ends: Ends, index: str) -> None:
    node, through = ends.both()
    standard = {"query": {"match": {"text": "coffee"}}}
    knn = {"field": "v", "query_vector": [20.0, 1.0], "k": 10, "num_candidates": 40}
    expected: dict[str, float] = {}
    for kind, inner, weight in (("standard", standard, 0.3), ("knn", knn, 2.0)):
        hits = node.search(index=index, retriever={kind: inner}, size=10)["hits"]["hits"]
        low, high = hits[-1]["_score"], hits[0]["_score"]
        for hit in hits:
            scaled = (hit["_score"] - low) / (high - low) if high > low else low
            expected[hit["_id"]] = expected.get(hit["_id"], 0.0) + weight * scaled
    parts = [
        {"retriever": {"standard": standard}, "weight": 0.3, "normalizer": "minmax"},
        {"retriever": {"knn": knn}, "weight": 2.0, "normalizer": "minmax"},
    ]
    answer = through.search(index=index, retriever={"linear": {"retrievers": parts}}, size=10)
    best = sorted(expected.values(), reverse=True)[:10]
    assert [hit["_score"] for hit in answer["hits"]["hits"]] == pytest.approx(best)


def test_a_page_beyond_the_window_and_an_unknown_reranker_are_native_errors(ends: Ends, index: str) -> None:
    through = ends.client(ends.gateway)
    rrf = {"rrf": {"retrievers": [{"standard": {"query": {"match": {"text": "sea"}}}}]}}
    with pytest.raises(BadRequestError, match="rank_window_size"):
        through.search(index=index, retriever=rrf, size=11)
    with pytest.raises(BadRequestError, match="made_up"):
        through.search(
            index=index, retriever={"rrf": {"retrievers": [{"standard": {"query": {"made_up": {}}}}]}}
        )
    with pytest.raises(NotFoundError, match="made-up"):
        through.search(
            index=index,
            retriever={
                "text_similarity_reranker": {
                    "retriever": rrf, "field": "text", "inference_id": "made-up", "inference_text": "sea",
                }
            },
        )  # fmt: skip


def test_a_text_is_encoded_by_our_models(ends: Ends, sample: Sample, vector_field: str) -> None:
    builder = {"text_embedding": {"model_id": MODEL, "model_text": "cloud on the ground"}}
    knn = {"field": vector_field, "k": 5, "num_candidates": 50, "query_vector_builder": builder}
    answer = ends.client(ends.gateway).search(
        index=f"msm-{sample.name}", retriever={"rrf": {"retrievers": [{"knn": knn}]}}, size=1
    )
    assert ids(answer) == ["fog"]


def logits(folder: Path, query: str, texts: list[str]) -> list[float]:
    """What sentence-transformers says of each text."""
    import torch
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(folder), device="cpu")
    found: list[float] = model.predict(
        [(query, text) for text in texts], activation_fn=torch.nn.Identity()
    ).tolist()
    return found


def test_a_cross_encoder_orders_the_head(ends: Ends, sample: Sample, reranker: tuple[str, Path]) -> None:
    name, folder = reranker
    query = "why does the sea rise"
    standard = {"standard": {"query": {"match": {"text": query}}}}
    node, through = ends.both()
    inner = node.search(index=f"msm-{sample.name}", retriever=standard, size=6)["hits"]["hits"]
    scores = logits(folder, query, [hit["_source"]["text"] for hit in inner])
    expected = sorted((max(x, 0.0) + min(math.exp(x), 1.0) for x in scores), reverse=True)
    asked = {"retriever": standard, "field": "text", "inference_id": name, "inference_text": query}
    answer = through.search(
        index=f"msm-{sample.name}",
        retriever={"text_similarity_reranker": asked | {"rank_window_size": 6}},
        size=6,
    )
    assert [hit["_score"] for hit in answer["hits"]["hits"]] == pytest.approx(expected, rel=1e-3)
    assert {hit["_id"] for hit in inner} == set(ids(answer))
    why = answer["hits"]["hits"][0]["fields"]["msmctl"][0]["retrievers"]
    assert why["rerank"]["ce_score"] == pytest.approx(max(scores), rel=1e-3)


class _Embedding(EmbeddingService):
    """Vectors that the test can compute: the share of each of three letters."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return [text.count(letter) + 0.1 for letter in "aeo"]


def test_the_vector_store_of_elasticsearch_py_searches_hybrid_as_it_is(ends: Ends, fresh: str) -> None:
    store = VectorStore(
        ends.client(ends.gateway),
        index=fresh,
        embedding_service=_Embedding(),
        num_dimensions=3,
        retrieval_strategy=DenseVectorStrategy(hybrid=True, text_field="text_field"),
    )
    texts = ["banana and mango", "eel soup", "oolong tea", "a cow on a moor", "three green trees"]
    store.add_texts(texts, refresh_indices=True)
    hits = store.search(query="green trees", k=3, num_candidates=10)
    assert hits[0]["_source"]["text_field"] == "three green trees"
    assert len(hits) == 3
