"""Bodies that are looked at: what of them is ours, and what it takes to find that out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.gateway import multi
from services.gateway.exchange import Exchange
from services.gateway.looking import Looking
from services.gateway.native import Answer, Refused
from services.gateway.saved import Aliases
from services.gateway.searches import Searches
from services.gateway.target import Target
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


def asked(body: bytes) -> Answer | None:
    """The answer to an `_msearch`; None: the node's."""
    node = Everything()
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
        return await Looking(searches, node).answer(
            exchange, Target("_msearch", None), body, lambda size: None
        )

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
