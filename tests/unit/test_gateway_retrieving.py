"""What a retriever tree asks of the node, and what cannot stand beside it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, cast

import pytest

from services.deadline import Deadline
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


def answered(given: dict[str, Any], query: bytes = b"") -> dict[str, Any]:
    said = params.parse(query)
    read = body.read({"retriever": TREE} | given, said, "retriever", OWN)
    nobody = cast(Any, None)
    search = Retrieval(
        Node(One(), {}, {}), retriever.read(TREE), nobody, nobody, "i", {}, read, said, Deadline()
    )
    return asyncio.run(search.answer())


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
