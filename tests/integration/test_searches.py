"""The log of searches on the real node: written as the API's user, in the background, whatever happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from elasticsearch import AuthorizationException, Elasticsearch

from services.elastic.client import connect, connect_async
from services.searches import SearchLog, SearchRecord
from services.searches.query_hash import QueryHash
from services.searches.retention import index_of, sweep
from services.settings import Settings
from services.stack.endpoints import endpoints
from tests.conftest import Stack


@pytest.fixture
def admin(stack: Stack) -> Elasticsearch:
    return connect(stack.settings)


@pytest.fixture
def logged(admin: Elasticsearch, stack: Stack, unique: str) -> Callable[[], list[dict[str, Any]]]:
    """The documents of this test, which are those of its collection."""

    def read() -> list[dict[str, Any]]:
        index = stack.settings.index("searches-*")
        admin.indices.refresh(index=index)
        hits = admin.search(index=index, query={"term": {"collection": unique}}, size=1000)["hits"]["hits"]
        return [hit["_source"] for hit in hits]

    return read


@asynccontextmanager
async def log(settings: Settings, **more: Any) -> AsyncIterator[SearchLog]:
    async with connect_async(settings, "api") as client, SearchLog(client, settings, **more) as made:
        yield made


async def written(made: SearchLog) -> None:
    limit = time.monotonic() + 60
    while made.waiting and time.monotonic() < limit:
        await asyncio.sleep(0.1)


def record(collection: str, query: str = "why salt", **more: Any) -> SearchRecord:
    return SearchRecord(source="api", collection=collection, query=query, took_ms=1.0, **more)


def test_what_is_recorded_is_found_with_every_type_as_mapped(
    stack: Stack, logged: Callable[[], list[dict[str, Any]]], unique: str
) -> None:
    async def search() -> None:
        async with log(stack.settings) as made:
            for n in range(600):  # more than one batch
                made.record(record(unique, f"query {n}", timing={"legs": 2.5, "a new step": 1.0}, hits=n))
            await written(made)
            assert (made.counts.written, made.counts.dropped, made.counts.refused) == (600, 0, 0)

    asyncio.run(search())
    found = logged()
    assert len(found) == 600
    hashed = QueryHash.of(stack.settings)
    assert {one["query"]["hash"] for one in found} == {hashed(f"query {n}") for n in range(600)}
    assert not any("text" in one["query"] for one in found)
    assert found[0]["latency"] == {"legs_ms": 2.5, "a new step_ms": 1.0}


def test_recording_waits_for_nothing_and_drops_what_does_not_fit(stack: Stack, unique: str) -> None:
    away = stack.settings.model_copy(update={"es_url": "http://127.0.0.1:9"})

    async def search() -> SearchLog:
        async with log(away, waiting=3) as made:
            for _ in range(5):
                made.record(record(unique))
            assert (made.waiting, made.counts.dropped) == (3, 2)
        return made

    assert asyncio.run(search()).counts.dropped == 5  # what could not be written at the end, too


def test_what_waited_while_elasticsearch_was_away_is_written_once_it_is_back(
    stack: Stack, logged: Callable[[], list[dict[str, Any]]], unique: str
) -> None:
    node = urlsplit(endpoints(stack.settings).es_url)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(65536):
            writer.write(part)
            await writer.drain()
        writer.close()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(node.hostname, node.port)
        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

    async def search() -> None:
        server = await asyncio.start_server(pass_on, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        settings = stack.settings.model_copy(update={"es_url": f"http://127.0.0.1:{port}"})
        async with log(settings) as made:
            made.record(record(unique))
            await asyncio.sleep(1.5)  # the first attempt finds nobody
            assert (made.waiting, made.counts.written) == (1, 0)
            server = await asyncio.start_server(pass_on, "127.0.0.1", port)
            await written(made)
            assert (made.waiting, made.counts.written) == (0, 1)
        server.close()

    asyncio.run(search())
    assert len(logged()) == 1


def test_one_that_the_mapping_refuses_takes_no_other_with_it(
    stack: Stack, logged: Callable[[], list[dict[str, Any]]], unique: str
) -> None:
    async def search() -> SearchLog:
        async with log(stack.settings) as made:
            made.record(record(unique, size=2**40))
            made.record(record(unique))
            await written(made)
        return made

    counts = asyncio.run(search()).counts
    assert (counts.written, counts.refused) == (1, 1)
    assert len(logged()) == 1


def test_with_no_days_nothing_is_recorded(stack: Stack, unique: str) -> None:
    async def search() -> int:
        async with log(stack.settings.model_copy(update={"searches_days": 0})) as made:
            made.record(record(unique))
            return made.waiting

    assert asyncio.run(search()) == 0


@pytest.fixture
def days(admin: Elasticsearch, stack: Stack) -> Iterator[dict[str, str]]:
    """An index of a day long ago and today's."""
    today = datetime.now(UTC).date()
    made = {
        "old": index_of(stack.settings, today - timedelta(days=400)),
        "now": index_of(stack.settings, today),
    }
    for index in made.values():
        admin.options(ignore_status=400).indices.create(index=index)
    yield made
    admin.options(ignore_status=404).indices.delete(index=made["old"])


def test_the_dispatcher_removes_days_that_are_over(
    stack: Stack, admin: Elasticsearch, days: dict[str, str]
) -> None:
    assert days["old"] in sweep(connect(stack.settings, "dispatcher"), stack.settings)
    assert not admin.indices.exists(index=days["old"])
    assert admin.indices.exists(index=days["now"])


def test_the_api_adds_to_the_log_and_can_neither_change_nor_remove_it(
    stack: Stack, days: dict[str, str]
) -> None:
    api, key = connect(stack.settings, "api"), "a-record-of-the-test"
    document = {"@timestamp": datetime.now(UTC).isoformat(), "collection": key}
    api.options(ignore_status=409).create(index=days["old"], id=key, document=document)
    with pytest.raises(AuthorizationException):
        api.index(index=days["old"], id=key, document=document)
    with pytest.raises(AuthorizationException):
        api.delete(index=days["old"], id=key)
    with pytest.raises(AuthorizationException):
        api.indices.delete(index=days["old"])
