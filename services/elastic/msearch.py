"""Many searches at once: `_msearch` with the smallest request that answers "which ords, which scores".

The trimmed form has no `_source`, no stored fields, no total count, and of each hit only what it was sorted
by, score and ord: more than twice as fast as the plain form, up to 1.5 times as fast as with a doc value.
Where equal scores meet at the last place of BM25 the lower ord is in, however the node laid its segments out.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from elasticsearch import Elasticsearch

from services.elastic.errors import TRANSIENT, TooManyTerms, of_search, translated
from services.elastic.terms import match
from services.errors import MsmError

Hits = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]
"""Ords (int32) and scores (float32) of one query, sorted by (-score, ord)."""

MAX_DEPTH = 10_000
"""Hits that one search can return (index.max_result_window)."""
_BATCH = 100
_BATCH_HITS = 200_000
_ATTEMPTS = 8
FILTER_PATH = "responses.hits.hits.sort,responses.error,responses.status"
"""What is needed of the answers to trimmed bodies."""


def bm25(
    client: Elasticsearch, index: str, texts: list[str], k: int, senders: int
) -> list[Hits | TooManyTerms]:
    """The k best passages for each text by BM25; ties in order of ord.

    Args:
        client: From `services.elastic.client.connect`.
        index: Concrete name of a passages index (an alias may move between two batches).
        texts: Query texts. One without a term (only stop words, no letters) has no hits.
        k: Hits per text, at most 10,000.
        senders: Parallel requests.

    Returns:
        Per text, in order: ords int32, scores float32, at most k, sorted by (-score, ord); or why the
        node refuses this one text.

    Raises:
        Unavailable: Elasticsearch stayed away or overloaded. NotFound: no such index.
    """
    bodies = [trimmed(match(client, index, text), k) for text in texts]
    found = outcomes(client, index, bodies, k, senders, filter_path=FILTER_PATH)
    return [item if isinstance(item, TooManyTerms) else hits_of(item) for item in found]


def trimmed(query: dict[str, Any], k: int) -> dict[str, Any]:
    """The body of a search for the ords and scores of the k best."""
    return {
        "query": query,
        "size": k,
        "track_total_hits": False,
        "_source": False,
        "stored_fields": "_none_",
        "sort": [{"_score": "desc"}, {"ord": "asc"}],
    }


def search(
    client: Elasticsearch, index: str, bodies: Sequence[dict[str, Any]], k: int, senders: int
) -> list[Hits]:
    """Run trimmed bodies, each of at most k hits, in batches over several senders; order is kept."""
    return [hits_of(item) for item in responses(client, index, bodies, k, senders, filter_path=FILTER_PATH)]


def hits_of(response: dict[str, Any]) -> Hits:
    """Ords and scores of one trimmed answer, sorted by (-score, ord)."""
    hits = response.get("hits", {}).get("hits", [])
    pairs = np.array([hit["sort"] for hit in hits], np.float64).reshape(-1, 2)
    return pairs[:, 1].astype(np.int32), pairs[:, 0].astype(np.float32)


def batch_size(k: int) -> int:
    """How many searches of k hits go in one request."""
    return max(1, min(_BATCH, _BATCH_HITS // max(k, 1)))


def responses(
    client: Elasticsearch,
    index: str,
    bodies: Sequence[dict[str, Any]],
    k: int,
    senders: int,
    filter_path: str | None = None,
) -> Iterator[dict[str, Any]]:
    """The answers to any search bodies, in order, every item checked; any failure is raised."""
    for item in outcomes(client, index, bodies, k, senders, filter_path):
        if isinstance(item, TooManyTerms):
            raise item
        yield item


def outcomes(
    client: Elasticsearch,
    index: str,
    bodies: Sequence[dict[str, Any]],
    k: int,
    senders: int,
    filter_path: str | None = None,
) -> Iterator[dict[str, Any] | TooManyTerms]:
    """The answers to any search bodies, in order; in its place, the fault of a text that is too long.

    A batch holds at most 100 bodies and 200,000 hits. Items that fail for a passing reason are sent
    again with back-off; a failure that may concern them all is raised.
    """
    size = batch_size(k)
    batches = [bodies[at : at + size] for at in range(0, len(bodies), size)]
    with ThreadPoolExecutor(max_workers=max(1, min(senders, len(batches)))) as pool:
        try:
            for answers in pool.map(lambda batch: _send(client, index, batch, filter_path), batches):
                yield from answers
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _send(
    client: Elasticsearch, index: str, bodies: Sequence[dict[str, Any]], filter_path: str | None
) -> list[dict[str, Any] | TooManyTerms]:
    """One batch until every item has an answer."""
    answers: dict[int, dict[str, Any] | TooManyTerms] = {}
    waiting = list(range(len(bodies)))
    failure: MsmError | None = None
    for attempt in range(_ATTEMPTS):
        if attempt:
            # Full jitter, 8 s at most: the node's queue is full, all senders back off alike.
            time.sleep(random.uniform(0, min(8.0, 0.25 * 2**attempt)))  # noqa: S311 - no secret
        searches: list[dict[str, Any]] = [line for n in waiting for line in ({}, bodies[n])]
        with translated(f"searching {index}"):
            reply = client.msearch(index=index, searches=searches, filter_path=filter_path)
        again = []
        for n, item in zip(waiting, reply["responses"], strict=True):
            status = int(item.get("status", 200))
            if "error" not in item and status < 400:
                answers[n] = item
                continue
            failure = of_search(item, f"searching {index}")
            if isinstance(failure, TooManyTerms):
                answers[n] = failure
            elif status in TRANSIENT:
                again.append(n)
            else:
                raise failure
        if not again:
            return [answers[n] for n in range(len(bodies))]
        waiting = again
    raise failure or MsmError(f"searching {index}: no answer")
