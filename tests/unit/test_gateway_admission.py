"""Who is let in before anything of ours is done: the node says it, and its yes counts for some seconds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.gateway import admission
from services.gateway.admission import Admission
from services.gateway.native import Refused
from services.gateway.node import Node
from services.gateway.params import Params
from services.gateway.saved import Aliases
from services.gateway.searches import Asked, Searches
from services.gateway.upstream import Upstream

ADA = {"authorization": "Basic ada"}
HERE = {"index": "msm-squad"}


class Guarded(Upstream):
    """A node that lets in whoever says who it is, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")
        self.asked: list[list[Any]] = []

    async def call(
        self, path: bytes, query: bytes, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes]:
        self.asked.append([json.loads(line) for line in body.splitlines()])
        if "authorization" not in headers:
            return 401, b'{"error":{"type":"security_exception"},"status":401}'
        return 200, b'{"responses":[{"status":200,"hits":{"hits":[]}}]}'


def times_asked(*callers: Mapping[str, str], headers: tuple[dict[str, Any], ...] = (HERE,)) -> int:
    """How often the node is asked when these come one after another."""
    node, admitted = Guarded(), Admission()

    async def main() -> None:
        for caller in callers:
            for header in headers:
                await admitted.check(Node(node, caller, {}), header, {})

    asyncio.run(main())
    return len(node.asked)


def test_the_nodes_yes_is_remembered_whatever_the_request_is_called() -> None:
    assert times_asked(ADA, ADA | {"x-opaque-id": "1"}, ADA | {"traceparent": "2"}) == 1


@pytest.mark.parametrize(
    "other",
    [{"authorization": "Basic bob"}, ADA | {"es-security-runas-user": "bob"}, ADA | {"x-proxy-user": "bob"}],
)
def test_each_caller_is_asked_for(other: dict[str, str]) -> None:
    assert times_asked(ADA, other) == 2


def test_each_index_is_asked_for() -> None:
    assert times_asked(ADA, headers=(HERE, {"index": "logs"})) == 2


def test_the_yes_is_asked_for_again_after_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "FRESH", 0.0)
    assert times_asked(ADA, ADA) == 2


def test_what_is_remembered_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_MOST", 1)
    assert times_asked(ADA, {"authorization": "Basic bob"}, ADA) == 3


def test_a_refusal_is_never_remembered() -> None:
    node, admitted = Guarded(), Admission()
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            asyncio.run(admitted.check(Node(node, {}, {}), HERE, {}))
        assert refused.value.status == 401
    assert len(node.asked) == 2


def test_a_node_that_does_not_say_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(Guarded):
        async def call(self, *_: Any) -> tuple[int, bytes]:
            await asyncio.sleep(60)
            raise AssertionError

    monkeypatch.setattr(admission, "_PATIENCE", 0.01)
    with pytest.raises(Refused) as refused:
        asyncio.run(Admission().check(Node(Silent(), ADA, {}), HERE, {}))
    assert refused.value.status == 503


class Saying(Upstream):
    """A node that always says the same, and remembers what it was asked."""

    def __init__(self, status: int) -> None:
        super().__init__("http://127.0.0.1:1")
        self.status = status
        self.asked: list[bytes] = []

    async def call(
        self, path: bytes, query: bytes, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes]:
        self.asked.append(body)
        return self.status, b'{"responses":[]}'


@pytest.mark.parametrize(("status", "known"), [(200, True), (403, True), (400, True), (401, False)])
def test_whoever_is_not_refused_as_nobody_is_known(status: int, known: bool) -> None:
    node = Saying(status)
    assert asyncio.run(Admission().knows(Node(node, ADA, {}))) is known
    assert node.asked[0].startswith(b'{"index":"*,-*"}')


@pytest.mark.parametrize("status", [429, 503])
def test_where_the_node_cannot_tell_its_words_are_the_answer(status: int) -> None:
    with pytest.raises(Refused) as refused:
        asyncio.run(Admission().knows(Node(Saying(status), ADA, {})))
    assert refused.value.status == status


@pytest.mark.parametrize(
    "given",
    [
        {"ext": {"msmctl": {"query": "x", "rerank": {"model": "made-up"}}}},
        {"ext": {"msmctl": {"query": "x", "mode": "dense", "systems": ["made-up"]}}},
        {"ext": {"msmctl": {"made_up": 1}}, "size": -1},
        {"retriever": {"rrf": {"retrievers": [7]}}, "size": -1},
        {
            "retriever": {
                "rrf": {
                    "retrievers": [
                        {
                            "knn": {
                                "query_vector_builder": {
                                    "text_embedding": {"model_id": "m", "model_text": "x"}
                                }
                            }
                        }
                    ]
                }
            }
        },
    ],
)
def test_for_a_caller_whom_the_node_refuses_nothing_is_read_or_looked_up(given: dict[str, Any]) -> None:
    engine = SimpleNamespace(
        served=SimpleNamespace(collection_of=lambda index: "squad"), client=None
    )  # whatever else it is asked for fails
    aliases = cast(Aliases, SimpleNamespace(get=lambda index: None))
    searches = Searches(cast(Any, engine), cast(Any, None), cast(Any, None), aliases, [].append)
    asked = Asked(Node(Guarded(), {}, {}), "msm-squad", given, Params(), 0.0)
    with pytest.raises(Refused) as refused:
        asyncio.run(searches.answer(asked))
    assert refused.value.status == 401


@pytest.mark.parametrize(
    ("given", "named"), [({"pit": {"id": "p"}}, "[pit]"), ({}, "name the alias of a collection")]
)
def test_a_search_of_no_index_of_ours_is_told_what_is_wrong(given: dict[str, Any], named: str) -> None:
    settings = SimpleNamespace(index=lambda name: f"msm-{name}")
    engine = SimpleNamespace(served=SimpleNamespace(collection_of=lambda index: None), settings=settings)
    aliases = cast(Aliases, SimpleNamespace(get=lambda index: None))
    searches = Searches(cast(Any, engine), cast(Any, None), cast(Any, None), aliases, [].append)
    said = {"ext": {"msmctl": {"query": "x"}}, **given}
    with pytest.raises(Refused) as refused:
        asyncio.run(searches.answer(Asked(Node(Guarded(), ADA, {}), None, said, Params(), 0.0)))
    assert named in refused.value.body["error"]["reason"]
