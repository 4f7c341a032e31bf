"""Loading documents: `helpers.streaming_bulk`, several senders, retries, op `create`, every item checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from elasticsearch import Elasticsearch
from elasticsearch.helpers import streaming_bulk

from services.elastic.errors import TRANSIENT, of_status, reason, translated

BODY_BYTES = 10 * 2**20
"""Size of one request. 5 to 15 MiB is the flat part of the curve; the node's own limit is 100."""
_MAX_DOCUMENTS = 5_000
_RETRIES = 6

Document = tuple[str, dict[str, Any]]
"""`_id` and source."""


@dataclass(frozen=True)
class Refused:
    """A document that the mapping does not take."""

    id: str
    reason: str


@dataclass(frozen=True)
class Loaded:
    """Documents that are there now, those of an earlier attempt included, and the refused ones."""

    rows: int
    refused: list[Refused]


def load(client: Elasticsearch, index: str, streams: Sequence[Iterable[Document]]) -> Loaded:
    """Create documents; one that is there already counts as done, so a load may run twice.

    Args:
        client: Its pool must hold a connection per stream.
        index: Concrete name; it must exist.
        streams: One sender thread runs each.

    Raises:
        Unavailable: overloaded or away after all retries. AuthError, NotFound, Conflict: as answered.
    """
    with ThreadPoolExecutor(max_workers=max(1, len(streams))) as pool:
        results = list(pool.map(lambda stream: _send(client, index, stream), streams))
    return Loaded(sum(part.rows for part in results), [row for part in results for row in part.refused])


def _send(client: Elasticsearch, index: str, documents: Iterable[Document]) -> Loaded:
    actions = (
        {"_op_type": "create", "_index": index, "_id": key, "_source": source} for key, source in documents
    )
    rows, refused = 0, []
    with translated(f"loading {index}"):
        for done, item in streaming_bulk(
            client.options(request_timeout=300),
            actions,
            chunk_size=_MAX_DOCUMENTS,
            max_chunk_bytes=BODY_BYTES,
            raise_on_error=False,
            max_retries=_RETRIES,
            initial_backoff=0.5,
            max_backoff=20,
            retry_on_status=sorted(TRANSIENT),
        ):
            answer = item["create"]
            status = int(answer["status"])
            if done or status == 409:
                rows += 1
            elif status == 400:
                refused.append(Refused(str(answer["_id"]), reason(answer)))
            else:
                raise of_status(status, f"loading {index}: {reason(answer)}")
    return Loaded(rows, refused)
