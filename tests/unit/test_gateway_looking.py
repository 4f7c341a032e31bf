"""Bodies that are looked at: what of them is ours, and what it takes to find that out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.errors import Overloaded
from services.gateway import multi
from services.gateway.claim import Claim, Stranger, room
from services.gateway.exchange import Exchange
from services.gateway.looking import Looking
from services.gateway.native import Answer, Refused
from services.gateway.saved import Aliases
from services.gateway.searches import Searches
from services.gateway.target import Kind, Target
from services.gateway.upstream import Upstream
from tests.unit.gateway_kit import reason

OURS: dict[str, Any] = {"retriever": {"rrf": {"retrievers": [{"standard": {}}]}}}
PLAIN: dict[str, Any] = {"query": {"match_all": {}}}


class Everything(Upstream):
    """A node that lets everybody in, and answers each search with its place in the request."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")

    async def call(
        self, path: bytes, query: bytes, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes]:
        item = {"status": 200, "timed_out": False, "_shards": {}, "hits": {"hits": [], "total": 0}}
        bodies = body.splitlines()[1::2]
        items = [item | {"place": place, "body": body.decode()} for place, body in enumerate(bodies)]
        return 200, json.dumps({"responses": items}).encode()


def asked(body: bytes, kind: Kind = "_msearch", node: Upstream | None = None) -> Answer | None:
    """The answer to a search; None: the node's."""
    node = node or Everything()
    aliases = cast(Aliases, SimpleNamespace(get=lambda index: None, named_in=lambda raw: False))
    nobody = cast(Any, None)
    served = SimpleNamespace(served=None)
    searches = Searches(cast(Any, served), nobody, nobody, aliases, lambda record: None)
    scope = {
        "method": "POST", "raw_path": b"/_msearch", "query_string": b"",
        "headers": [(b"content-length", str(len(body)).encode())],
    }  # fmt: skip

    async def main() -> Answer | None:
        exchange = Exchange(scope, nobody, nobody)
        looking = Looking(searches, node)
        with room().place() as place:
            claim = Claim(place, partial(looking.knows, exchange))
            return await looking.answer(exchange, Target(kind, None), body, claim)

    return asyncio.run(main())


def lines(*searches: dict[str, Any]) -> bytes:
    return b"".join(b"{}\n" + json.dumps(search).encode() + b"\n" for search in searches)


def test_only_lines_that_may_be_ours_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []

    def parsing(raw: bytes, default: str | None) -> multi.Line | None:
        parsed.append(raw)
        return real(raw, default)

    real = multi.parsed
    monkeypatch.setattr(multi, "parsed", parsing)
    answer = asked(lines(*[PLAIN] * 1_000, OURS, *[PLAIN] * 1_000))
    assert answer is not None
    assert parsed == [lines(OURS)]
    assert len(answer.body["responses"]) == 2_001


def test_the_order_of_lines_is_kept() -> None:
    answer = asked(lines(PLAIN, OURS, {"size": 1}))
    assert answer is not None
    first, second, third = answer.body["responses"]
    assert (json.loads(first["body"]), json.loads(third["body"])) == (PLAIN, {"size": 1})
    assert "took" in second


def test_a_body_of_more_lines_than_are_looked_at_is_the_nodes() -> None:
    assert asked(b'"msmctl"\n' + b"\n" * 9_999) is None


def test_searches_of_ours_in_one_body_have_a_limit() -> None:
    with pytest.raises(Refused) as refused:
        asked(lines(*[OURS] * 201))
    assert "more than 200" in reason(refused)


def test_lines_that_only_look_like_ours_have_none() -> None:
    assert asked(lines(*[{"retriever": {"standard": {}}}] * 201)) is None


class Closed(Everything):
    """A node that knows nobody."""

    async def call(self, *_: Any) -> tuple[int, bytes]:
        return 401, b'{"error":{"type":"security_exception"},"status":401}'


def test_for_a_stranger_no_line_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multi, "parsed", None)
    with pytest.raises(Stranger):
        asked(lines(PLAIN, OURS), node=Closed())


@pytest.mark.parametrize("dense", [b"[]", b"{}", b"0"])
def test_for_a_stranger_nothing_is_parsed_that_becomes_large(dense: bytes) -> None:
    with pytest.raises(Stranger):
        asked(b'{"retriever":[' + b",".join([dense] * 1_000) + b"]}", "_search", Closed())


@pytest.mark.parametrize("kind", ["_search", "_msearch"])
def test_what_is_not_ours_asks_nobody(kind: Kind) -> None:
    assert asked(lines(*[PLAIN] * 2_000), kind, Closed()) is None


def test_what_a_body_becomes_must_have_room() -> None:
    with pytest.raises(Overloaded):
        asked(b'{"retriever":[' + b"[]," * 2_000_000 + b"[]]}", "_search")
