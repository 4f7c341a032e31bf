"""Searches of ours at the node: what cannot be written, what is no answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.gateway.native import Answer, Refused
from services.gateway.node import Node
from services.gateway.upstream import Upstream


class Saying(Upstream):
    """A node that always says the same."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__("http://127.0.0.1:1")
        self.said = status, body

    async def call(self, *_: Any) -> tuple[int, bytes]:
        return self.said


def asked(body: dict[str, Any], status: int = 200, answer: bytes = b'{"responses":[]}') -> int:
    """The status of the refusal."""
    with pytest.raises(Refused) as refused:
        asyncio.run(Node(Saying(status, answer), {}, {}).msearch([({}, body)]))
    return refused.value.status


def test_a_body_too_deep_to_be_passed_on_is_a_400() -> None:
    query: dict[str, Any] = {"match_all": {}}
    for _ in range(150):
        query = {"bool": {"must": query}}
    assert asked({"query": query}) == 400


def test_a_number_too_large_to_be_passed_on_is_a_400() -> None:
    assert asked({"track_total_hits": 10**30}) == 400


@pytest.mark.parametrize("answer", [b"<html>", b"", b"\xff", b"[" * 100_000, b"9" * 5_000])
def test_what_is_no_json_is_a_502(answer: bytes) -> None:
    assert asked({}, 200, answer) == 502


@pytest.mark.parametrize(
    "source",
    [b'"\\ud800"', b"123456789012345678901234", b"18446744073709551616", b"-9223372036854775809", b"0.1"],
)
def test_what_documents_hold_is_answered_as_it_was_indexed(source: bytes) -> None:
    answer = b'{"responses":[{"hits":{"hits":[{"_source":' + source + b"}]}}]}"
    items = asyncio.run(Node(Saying(200, answer), {}, {}).msearch([({}, {})]))
    assert Answer(200, {"responses": items}).encoded() == answer


def test_a_target_that_is_no_path_is_a_400() -> None:
    with pytest.raises(Refused) as refused:
        Upstream("http://x:1").url(b"*", b"")
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "path", [b"/../admin", b"/i/../../admin", b"/%2e%2E/admin", b"/..%2fadmin", b"/.%2e", b"/..%5cadmin"]
)
def test_a_path_in_front_of_the_node_cannot_be_left(path: bytes) -> None:
    with pytest.raises(Refused) as refused:
        Upstream("http://x:1/es").url(path, b"")
    assert refused.value.status == 400


def test_a_path_in_front_of_the_node_is_put_in_front() -> None:
    assert str(Upstream("http://x:1/es/").url(b"/i/_doc/a..b%2F...", b"q=..")) == (
        "http://x:1/es/i/_doc/a..b%2F...?q=.."
    )
