"""What a search through the gateway leaves in the log of searches, answered or not."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.deadline import Deadline
from services.errors import TooLate, Unavailable
from services.gateway import body, hybrid, record
from services.gateway.hybrid import Hybrid
from services.gateway.native import Refused, natural
from services.gateway.node import Node
from services.gateway.params import Params
from services.gateway.saved import Aliases
from services.gateway.searches import Asked, Searches
from services.gateway.upstream import Upstream
from services.searches.record import SearchRecord

ADA = {"authorization": "Basic YWRhOnB3", "x-opaque-id": "r1"}
TREE = {"rrf": {"retrievers": [{"standard": {"query": {"match": {"text": "tide"}}}}]}}


class Full(Upstream):
    """A node that lets everybody in and has no room for a search."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")
        self.calls = 0

    async def call(self, *_: Any) -> tuple[int, bytes]:
        self.calls += 1
        if self.calls == 1:
            return 200, b'{"responses":[{"status":200,"hits":{"hits":[]}}]}'
        return 429, b'{"error":{"type":"es_rejected_execution_exception"},"status":429}'


def searched(given: dict[str, Any], **engine: Any) -> list[SearchRecord]:
    """What a search that fails leaves behind."""
    records: list[SearchRecord] = []
    aliases = cast(Aliases, SimpleNamespace(get=lambda index: None))
    searches = Searches(
        cast(Any, SimpleNamespace(**engine)), cast(Any, None), cast(Any, None), aliases, records.append
    )
    asked = Asked(Node(Full(), ADA, {}), "msm-squad", given, Params(), 0.0)
    with pytest.raises(Refused):
        asyncio.run(searches.answer(asked))
    return records


def question(ext: dict[str, Any]) -> Hybrid:
    read = body.read({"query": {"match": {"text": "tide"}}, "size": 5}, Params(), "ext.msmctl")
    return Hybrid(
        cast(Any, None), Node(Full(), ADA, {}), "msm-squad", "squad", hybrid.requested(ext, read), read,
        Params(), Deadline(),
    )  # fmt: skip


def test_a_search_that_the_node_refuses_is_recorded_with_its_question() -> None:
    [left] = searched({"retriever": TREE, "size": 3}, served=None)
    assert (left.status, left.error) == (429, "overloaded")
    assert (left.source, left.query, left.mode, left.fusion) == ("gateway", "tide", "retriever", "rrf")
    assert (left.size, left.user, left.request_id) == (3, "ada", "r1")


def test_what_is_no_search_is_not_recorded() -> None:
    assert searched({"retriever": {"rrf": {}}}, served=None) == []


@pytest.mark.parametrize(
    ("cause", "status", "code"),
    [(Unavailable("away"), 503, "unavailable"), (TooLate("late"), 503, "too_late")],
)
def test_an_error_of_ours_is_recorded_under_its_own_name(
    cause: Unavailable | TooLate, status: int, code: str
) -> None:
    refused = natural(cause)
    refused.__cause__ = cause
    left = record.of_failure(question({"mode": "dense", "budget_ms": 50}), refused, 12.0)
    assert (left.status, left.error, left.took_ms) == (status, code, 12.0)
    assert (left.collection, left.query, left.mode, left.budget_ms) == ("squad", "tide", "dense", 50)


def test_a_defect_is_recorded_as_one() -> None:
    left = record.of_failure(question({}), KeyError("x"), 1.0)
    assert (left.status, left.error) == (500, "failed")


@pytest.mark.parametrize(
    ("scales", "mode"),
    [
        (["bm25"], "bm25"),
        (["cosine", "dot"], "dense"),
        (["sparse"], "sparse"),
        (["bm25", "cosine"], "hybrid"),
        ([], "hybrid"),
    ],
)
def test_the_mode_is_what_answered_whatever_was_asked_for(scales: list[str], mode: str) -> None:
    legs = [SimpleNamespace(name=scale, scale=scale) for scale in scales]
    ranked = SimpleNamespace(
        legs=scales, method=None, reranked=0, degraded=(), timing=SimpleNamespace(),
        fused=SimpleNamespace(candidates=SimpleNamespace(legs=legs)),
    )  # fmt: skip
    left = record.of_hybrid(question({"mode": "hybrid"}), cast(Any, ranked), {"hits": {"hits": []}}, 1.0)
    assert left.mode == mode
    assert left.error is None
