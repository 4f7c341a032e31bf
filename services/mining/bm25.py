"""BM25 through Elasticsearch: the queries' texts against a passages index, many per request."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from services.collections.collection import Collection
from services.elastic.errors import TooManyTerms
from services.elastic.msearch import MAX_DEPTH, bm25
from services.mining.ranking import Ords, Ranked

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch


class Bm25Retriever:
    """BM25 on one index that holds the collection's present passages.

    A query has as many candidates as passages share a term with it, and at most 10,000
    (`index.max_result_window`).
    """

    limit = MAX_DEPTH
    batch = 400

    def __init__(self, client: Elasticsearch, index: str, collection: Collection, senders: int) -> None:
        self._client = client
        self._index = index
        self._collection = collection
        self._senders = senders

    def search(self, qords: Ords, k: int) -> Sequence[Ranked]:
        """The best `k` of each query; one with too many distinct terms is refused."""
        texts = self._texts.take(pa.array(qords)).to_pylist()
        return [
            Ranked(np.empty(0, np.int32), np.empty(0, np.float32), hits.message)
            if isinstance(hits, TooManyTerms)
            else Ranked(*hits)
            for hits in bm25(self._client, self._index, texts, k, self._senders)
        ]

    @cached_property
    def _texts(self) -> pa.ChunkedArray:
        """Per qord, the query's text."""
        return self._collection.read_queries(0, self._collection.state.query_count, ["text"])["text"]

    def facts(self) -> dict[str, Any]:
        """The index asked."""
        return {"index": self._index}
