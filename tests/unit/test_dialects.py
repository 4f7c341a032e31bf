"""Shapes of others: what comes, what is asked of the models, what is answered; and the inverse."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from services.deadline import Deadline
from services.encoding.weights import Weights
from services.errors import TooLate, UsageError
from services.inference.dialects import cohere, openai, tei
from services.inference.dialects.shapes import logits, refused, sigmoid
from services.inference.models import Embedded, Reranked, Weighed

NEVER = Deadline()


class Models:
    """Vectors [length, 3] and, as logits, lengths less 2; notes what it was asked."""

    def __init__(self, reached: int | None = None) -> None:
        self.reached = reached
        self.asked: list[tuple[Any, ...]] = []

    async def embedded(self, model: str, texts: list[str], kind: str, deadline: Deadline) -> Embedded:
        self.asked.append((model, texts, kind))
        return Embedded(np.array([[len(text), 3] for text in texts], np.float32), 5, "fp")

    async def weighed(self, model: str, texts: list[str], kind: str, deadline: Deadline) -> Weighed:
        self.asked.append((model, texts, kind))
        rows = np.zeros((len(texts), 9), np.float32)
        for n, text in enumerate(texts):
            if text:
                rows[n, len(text)], rows[n, 7] = 1.5, len(text)
        return Weighed(Weights.of_dense(rows), 5, "fp")

    async def reranked(self, model: str, query: str, texts: list[str], deadline: Deadline) -> Reranked:
        self.asked.append((model, query, texts))
        scores = np.array([len(text) - 2 for text in texts], np.float32)
        scores[self.reached :] = scores[self.reached :] if self.reached is None else np.nan
        return Reranked(scores, 5, "fp")


def answer(call: Any, shape: Any, body: dict[str, Any], *rest: Any, models: Models | None = None) -> Any:
    return asyncio.run(call(models or Models(), shape.model_validate(body), *rest, NEVER))


class TestOpenAi:
    def test_floats_or_base64_of_the_same_vectors(self) -> None:
        body = {"model": "m", "input": ["a", "four"]}
        plain = answer(openai.embeddings, openai.EmbeddingsRequest, body)
        packed = answer(openai.embeddings, openai.EmbeddingsRequest, body | {"encoding_format": "base64"})
        assert [entry["embedding"] for entry in plain["data"]] == [[1, 3], [4, 3]]
        assert [entry["index"] for entry in plain["data"]] == [0, 1]
        assert plain["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
        assert (plain["object"], plain["model"]) == ("list", "m")
        decoded = [np.frombuffer(base64.b64decode(e["embedding"]), "<f4").tolist() for e in packed["data"]]
        assert decoded == [[1, 3], [4, 3]]

    @pytest.mark.parametrize(("given", "kind"), [({}, "passage"), ({"input_type": "query"}, "query")])
    def test_texts_are_passages_unless_it_is_said(self, given: dict[str, str], kind: str) -> None:
        models = Models()
        answer(
            openai.embeddings, openai.EmbeddingsRequest, {"model": "m", "input": "a"} | given, models=models
        )
        assert models.asked == [("m", ["a"], kind)]

    def test_other_dimensions_than_the_model_s_are_refused(self) -> None:
        with pytest.raises(UsageError, match="'m' has 2, not 8"):
            answer(openai.embeddings, openai.EmbeddingsRequest, {"model": "m", "input": "a", "dimensions": 8})

    @pytest.mark.parametrize("body", [{"input": []}, {"input": [[1, 2]]}, {"input": ""}, {}])
    def test_what_is_no_text_is_refused_by_its_place(self, body: dict[str, Any]) -> None:
        with pytest.raises(ValidationError) as error:
            openai.EmbeddingsRequest.model_validate({"model": "m"} | body)
        assert refused(error.value).message.startswith("input")

    def test_an_answer_in_any_order_is_read_in_ours(self) -> None:
        packed = base64.b64encode(np.array([1, 2], "<f4").tobytes()).decode()
        data = [{"index": 1, "embedding": [3, 4]}, {"index": 0, "embedding": packed}]
        found = openai.read({"data": data, "usage": {"prompt_tokens": 9}}, 2)
        assert found.vectors.tolist() == [[1, 2], [3, 4]]
        assert found.tokens == 9
        with pytest.raises(ValueError, match="no embedding"):
            openai.read({"data": data[:1]}, 2)


class TestCohere:
    BODY = {"model": "m", "query": "q", "documents": ["aa", {"text": "aaaa"}, "a"]}  # noqa: RUF012

    def test_the_best_first_between_0_and_1(self) -> None:
        found = answer(cohere.rerank, cohere.RerankRequest, self.BODY, 2)
        assert [result["index"] for result in found["results"]] == [1, 0, 2]
        expected = [1 / (1 + np.exp(-2)), 0.5, 1 / (1 + np.exp(1))]
        assert [result["relevance_score"] for result in found["results"]] == pytest.approx(expected)
        assert found["meta"]["api_version"] == {"version": "2"}

    def test_so_many_as_are_wanted_with_their_text_in_version_1(self) -> None:
        body = self.BODY | {"top_n": 1, "return_documents": True}
        (first,) = answer(cohere.rerank, cohere.RerankRequest, body, 1)["results"]
        assert first["document"] == {"text": "aaaa"}
        (second,) = answer(cohere.rerank, cohere.RerankRequest, body, 2)["results"]
        assert "document" not in second

    def test_some_that_were_not_reached_are_no_answer(self) -> None:
        with pytest.raises(TooLate, match="1 of 3 texts were not scored in time"):
            answer(cohere.rerank, cohere.RerankRequest, self.BODY, 2, models=Models(reached=2))

    def test_what_was_sent_and_read_are_the_logits(self) -> None:
        texts = ["aa", "aaaa", "a"]
        found = answer(cohere.rerank, cohere.RerankRequest, cohere.ask("m", "q", texts), 2)
        assert cohere.read(found, 3).tolist() == pytest.approx([0, 2, -1], abs=1e-5)


class TestTei:
    def test_vectors_are_unit_unless_their_own_length_is_wanted(self) -> None:
        body = {"inputs": ["four"]}
        assert answer(tei.embed, tei.EmbedRequest, body, "m") == [pytest.approx([0.8, 0.6])]
        assert answer(tei.embed, tei.EmbedRequest, body | {"normalize": False}, "m") == [[4, 3]]

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ({}, ("m", "passage")),
            ({"prompt_name": "query"}, ("m", "query")),
            ({"prompt_name": "document", "model": "other"}, ("other", "passage")),
        ],
    )
    def test_prompt_and_model_may_be_named(self, given: dict[str, str], expected: tuple[str, str]) -> None:
        models = Models()
        answer(tei.embed, tei.EmbedRequest, {"inputs": "a"} | given, "m", models=models)
        ((model, texts, kind),) = models.asked
        assert ((model, kind), texts) == (expected, ["a"])

    def test_an_unknown_prompt_is_refused(self) -> None:
        with pytest.raises(UsageError, match="prompt_name: there is no 'x'"):
            answer(tei.embed, tei.EmbedRequest, {"inputs": "a", "prompt_name": "x"}, "m")

    def test_the_best_first_as_logits_or_their_sigmoid_with_texts_if_wanted(self) -> None:
        body = {"query": "q", "texts": ["aa", "aaa"]}
        assert answer(tei.rerank, tei.RerankRequest, body | {"raw_scores": True}, "m") == [
            {"index": 1, "score": 1.0}, {"index": 0, "score": 0.0}]  # fmt: skip
        shown = answer(tei.rerank, tei.RerankRequest, body | {"return_text": True}, "m")
        assert [one["text"] for one in shown] == ["aaa", "aa"]
        assert [one["score"] for one in shown] == pytest.approx([1 / (1 + np.exp(-1)), 0.5])

    def test_what_was_sent_and_read_are_logits_and_vectors(self) -> None:
        texts = ["aa", "aaaa", "a"]
        scores = answer(tei.rerank, tei.RerankRequest, tei.ask_rerank("q", texts), "m")
        assert tei.read_rerank(scores, 3).tolist() == [0, 2, -1]
        vectors = answer(tei.embed, tei.EmbedRequest, tei.ask_embed(texts), "m")
        assert tei.read_embed(vectors, 3).vectors.tolist() == [[2, 3], [4, 3], [1, 3]]
        with pytest.raises(ValueError, match=r"instead of \[2, dims\]"):
            tei.read_embed(vectors, 2)

    def test_term_weights_are_read_as_they_were_written(self) -> None:
        texts = ["aa", "", "aaaa"]
        rows = answer(tei.embed_sparse, tei.SparseRequest, tei.ask_sparse(texts), "m")
        assert rows == [[{"index": 2, "value": 1.5}, {"index": 7, "value": 2.0}], [],
                        [{"index": 4, "value": 1.5}, {"index": 7, "value": 4.0}]]  # fmt: skip
        read = tei.read_sparse([list(reversed(row)) for row in rows], 3).weights
        assert [read.by_term(n) for n in range(3)] == [{"2": 1.5, "7": 2}, {}, {"4": 1.5, "7": 4}]

    @pytest.mark.parametrize("entry", [
        {"index": -1, "value": 1}, {"index": 1 << 31, "value": 1}, {"index": 1.5, "value": 1},
        {"index": True, "value": 1}, {"index": "1", "value": 1}, {"index": 1, "value": 0},
        {"index": 1, "value": -1}, {"index": 1, "value": "nan"}, {"index": 1, "value": 1e-60},
        {"index": 1, "value": None}, {"index": 1}, 5, None,
    ])  # fmt: skip
    def test_term_weights_that_are_none_are_refused(self, entry: Any) -> None:
        with pytest.raises((ValueError, KeyError, TypeError)):
            tei.read_sparse([[entry]], 1)
        with pytest.raises((ValueError, KeyError, TypeError)):
            tei.read_sparse([[{"index": 1, "value": 1}, {"index": 1, "value": 2}]], 1)
        for wrong in ([], {}, [[]] * 2, None):
            with pytest.raises((ValueError, KeyError, TypeError)):
                tei.read_sparse(wrong, 1)


def test_logits_survive_the_sigmoid_and_stay_finite_where_it_does_not() -> None:
    scores = np.array([-9.5, -1, 0, 0.25, 7], np.float32)
    assert logits(sigmoid(scores).tolist()).tolist() == pytest.approx(scores.tolist(), abs=1e-3)
    assert logits([0.0, 1.0]).tolist() == pytest.approx([-16, 16])
