"""What a retriever tree asks of the node, and what cannot stand beside it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, cast

import pytest

from services.deadline import Deadline
from services.errors import InputError, MsmError, TooLate, Unavailable
from services.gateway import body, params, retriever
from services.gateway.native import Refused
from services.gateway.node import Node
from services.gateway.retrieving import OWN, Retrieval
from services.gateway.upstream import Upstream
from tests.unit.gateway_kit import reason

TREE = {"rrf": {"retrievers": [{"standard": {"query": {"match": {"text": "tide"}}}}]}}


class One(Upstream):
    """A node with one document, which has an id where the search wants stored fields."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")

    async def call(
        self, path: bytes, query: bytes, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes]:
        searches = [json.loads(line) for line in body.splitlines()[1::2]]
        return 200, json.dumps({"responses": [_item(search) for search in searches]}).encode()


def _item(search: dict[str, Any]) -> dict[str, Any]:
    none = search.get("stored_fields") in ("_none_", ["_none_"])
    hit = {"_index": "i", "_score": 1.0} | ({} if none else {"_id": "a"})
    return {"status": 200, "timed_out": False, "_shards": {}, "hits": {"hits": [hit], "total": 1}}


def retrieval(given: dict[str, Any], query: bytes = b"", tree: Any = TREE, models: Any = None) -> Retrieval:
    said = params.parse(query)
    read = body.read({"retriever": tree} | given, said, "retriever", OWN)
    node, nobody = Node(One(), {}, {}), cast(Any, None)
    return Retrieval(node, retriever.read(tree), models, nobody, "i", {}, read, said, Deadline())


def answered(given: dict[str, Any], query: bytes = b"") -> dict[str, Any]:
    return asyncio.run(retrieval(given, query).answer())


def test_hits_are_found_again_by_their_id() -> None:
    [hit] = answered({"stored_fields": ["kind"]})["hits"]["hits"]
    assert hit["_id"] == "a"


@pytest.mark.parametrize(
    ("given", "query"),
    [
        ({"stored_fields": "_none_", "_source": False}, b""),
        ({"stored_fields": ["_none_"]}, b""),
        ({}, b"stored_fields=_none_"),
    ],
)
def test_hits_without_an_id_cannot_be_wanted(given: dict[str, Any], query: bytes) -> None:
    with pytest.raises(Refused) as refused:
        answered(given, query)
    assert "[stored_fields: _none_]" in reason(refused)


def knn(name: str) -> dict[str, Any]:
    asked = {"text_embedding": {"model_id": name, "model_text": "tide"}}
    return {"knn": {"field": "v", "k": 10, "num_candidates": 20, "query_vector_builder": asked}}


class Failing:
    """Models that fail, each in a way of its own."""

    def __init__(self, **errors: MsmError) -> None:
        self.errors = errors

    async def embedded(self, model: str, texts: Any, kind: str, deadline: Deadline) -> Any:
        raise self.errors[model]


def test_where_no_leaf_has_a_vector_in_time_nothing_is_found_and_it_is_told() -> None:
    tree = {"rrf": {"retrievers": [knn("slow"), knn("away")]}}
    search = retrieval({}, tree=tree, models=Failing(slow=TooLate("late"), away=Unavailable("gone")))
    answer = asyncio.run(search.answer())
    assert answer["hits"]["hits"] == []
    assert [str(failure) for failure in search.failures] == ["encode:slow:timeout", "encode:away:unavailable"]


def test_where_no_leaf_can_be_encoded_at_all_it_is_the_question_s_fault() -> None:
    tree = {"rrf": {"retrievers": [knn("odd"), knn("odd")]}}
    search = retrieval({}, tree=tree, models=Failing(odd=InputError("the text has no tokens")))
    with pytest.raises(Refused) as refused:
        asyncio.run(search.answer())
    assert "has no tokens" in reason(refused)
