"""Official clients write, read and are refused through the gateway as by the node."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from elasticsearch import (
    AsyncElasticsearch,
    AuthorizationException,
    BadRequestError,
    Elasticsearch,
    NotFoundError,
)
from elasticsearch.dsl import Search
from elasticsearch.helpers import async_bulk, async_scan, bulk, scan, streaming_bulk

from services.stack.secrets import password
from tests.integration.conftest import Sample
from tests.integration.gateway.ends import WORDS, Ends


def documents(name: str, count: int) -> Iterator[dict[str, Any]]:
    return ({"_index": name, "_id": str(n), "text": f"{WORDS[n % 8]} {n}", "n": n} for n in range(count))


@pytest.mark.parametrize("packed", [False, True])
def test_elasticsearch_py_writes_and_reads_through_it(ends: Ends, fresh: str, packed: bool) -> None:
    node, through = ends.both(http_compress=packed)
    through.indices.create(index=fresh, settings={"number_of_replicas": 0})
    assert bulk(through, documents(fresh, 1_500), chunk_size=400, refresh=True) == (1_500, [])
    assert all(done for done, _ in streaming_bulk(through, documents(fresh, 300), chunk_size=100))
    through.indices.refresh(index=fresh)
    everything = {hit["_id"]: hit["_source"] for hit in scan(node, index=fresh, size=300)}
    assert {hit["_id"]: hit["_source"] for hit in scan(through, index=fresh, size=300)} == everything
    assert len(everything) == 1_500
    body: dict[str, Any] = {
        "query": {"match": {"text": "moon"}},
        "aggs": {"n": {"histogram": {"field": "n", "interval": 500}}},
        "highlight": {"fields": {"text": {}}},
    }
    first, second = (client.search(index=fresh, **body).body for client in (node, through))
    assert first.pop("took") >= 0
    assert second.pop("took") >= 0
    assert first == second
    with pytest.raises(BadRequestError) as refused:
        through.search(index=fresh, query={"made_up": {}})
    assert refused.value.error == "parsing_exception"
    assert isinstance(through.options(ignore_status=404).get(index=fresh, id="none").body, dict)
    with pytest.raises(NotFoundError):
        through.get(index=fresh, id="none")


def test_elasticsearch_py_async_writes_and_reads_through_it(ends: Ends, fresh: str) -> None:
    async def main() -> tuple[int, int, int]:
        ends.client(ends.node).indices.create(index=fresh, settings={"number_of_replicas": 0})
        secret = ("admin", password(ends.settings, "admin"))
        async with AsyncElasticsearch(ends.gateway, basic_auth=secret) as through:
            written, _ = await async_bulk(through, documents(fresh, 700), chunk_size=200, refresh=True)
            seen = [hit async for hit in async_scan(through, index=fresh, size=200)]
            counts = await asyncio.gather(*(through.count(index=fresh) for _ in range(20)))
            return written, len(seen), sum(answer["count"] for answer in counts)

    assert asyncio.run(main()) == (700, 700, 14_000)


def test_the_dsl_finds_the_same(ends: Ends, index: str) -> None:
    def found(client: Elasticsearch) -> tuple[list[str], int, list[Any]]:
        search = Search(using=client, index=index).query("match", text="frost").filter("term", kind="k1")
        search.aggs.bucket("kinds", "terms", field="kind")
        answer = search[:5].execute()
        buckets = [(bucket.key, bucket.doc_count) for bucket in answer.aggregations.kinds.buckets]
        return [hit.meta.id for hit in answer], answer.hits.total.value, buckets

    node, through = ends.both()
    assert found(through) == found(node)
    assert {hit.meta.id for hit in Search(using=through, index=index).scan()} == {str(n) for n in range(40)}


def test_who_may_not_read_gets_the_nodes_403(ends: Ends, sample: Sample, index: str) -> None:
    bodies: list[dict[str, Any]] = [
        {"query": {"match": {"text": "tide"}}},
        {"query": {"match": {"text": "tide"}}, "ext": {"msmctl": {}}},
        {"retriever": {"rrf": {"retrievers": [{"standard": {"query": {"match": {"text": "tide"}}}}]}}},
    ]
    for body in bodies:
        with pytest.raises(AuthorizationException) as refused:
            ends.client(ends.gateway, "dispatcher").search(index=f"msm-{sample.name}", body=body)
        assert refused.value.error == "security_exception"
        assert "unauthorized for user [dispatcher]" in str(refused.value.info)
    status, _, answer = ends.ask(f"/{index}/_search", bodies[2], "dispatcher")
    assert (status, answer["status"]) == (403, 403)
