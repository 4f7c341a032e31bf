"""What tests of the gateway share: both ends, an index that is not one of ours."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from elasticsearch.helpers import bulk

from services.stack.endpoints import endpoints, gateway_url
from tests.conftest import Stack
from tests.integration.conftest import Sample
from tests.integration.gateway.ends import WORDS, Ends
from tests.unit.tiny_ce import tiny_ce


@pytest.fixture(scope="session")
def ends(stack: Stack) -> Ends:
    return Ends(stack.settings, endpoints(stack.settings).es_url, gateway_url(stack.settings))


@pytest.fixture(scope="session")
def index(ends: Ends) -> Iterator[str]:
    """Any index, not one of ours: 40 documents with text and a vector in two dimensions."""
    name = f"msm-gw{uuid.uuid4().hex[:8]}"
    node = ends.client(ends.node)
    node.indices.create(
        index=name,
        settings={"number_of_shards": 2, "number_of_replicas": 0},
        mappings={
            "properties": {
                "text": {"type": "text"},
                "kind": {"type": "keyword"},
                "v": {"type": "dense_vector", "dims": 2, "similarity": "l2_norm"},
            }
        },
    )
    documents = (
        {
            "_index": name,
            "_id": str(n),
            "text": " ".join(WORDS[: n % 8 + 1]),
            "kind": f"k{n % 2}",
            "v": [n, 1],
        }
        for n in range(40)
    )
    bulk(node, documents, refresh=True)
    yield name
    node.indices.delete(index=name)


@pytest.fixture
def fresh(ends: Ends) -> Iterator[str]:
    name = f"msm-gw{uuid.uuid4().hex[:8]}"
    yield name
    ends.client(ends.node).options(ignore_status=404).indices.delete(index=name)


@pytest.fixture(scope="session")
def vector_field(ends: Ends, sample: Sample) -> str:
    mapping = ends.client(ends.node).indices.get_mapping(index=f"msm-{sample.name}").body
    [slug] = next(iter(mapping.values()))["mappings"]["properties"]["vectors"]["properties"]
    return f"vectors.{slug}"


@pytest.fixture(scope="session")
def reranker(sample: Sample) -> tuple[str, Path]:
    """A cross-encoder with random weights: its name, and its folder."""
    name = f"ce-{uuid.uuid4().hex[:8]}"
    folder = tiny_ce(sample.folder / name, "bert", max_length=96)
    sample.msmctl("ce", "add", name, "--model", folder)
    return name, folder
