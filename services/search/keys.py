"""What tells that two legs found the same passage: our `ord`, or `_id` where an index is not ours."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from services.elastic.msearch import Hits

Clause = dict[str, Any]


class Keys(ABC):
    """Small integers for hits; the same passage has the same one in all answers to a request."""

    body: ClassVar[Clause]
    """What a search asks for so that its hits can be told."""

    @abstractmethod
    def of(self, hit: Clause) -> int:
        """The key of a hit."""

    @abstractmethod
    def clause(self, keys: Sequence[int]) -> Clause:
        """The filter that lets just these passages through."""

    def hits(self, item: Clause) -> Hits:
        """Keys int32 and scores float32 of an answer, sorted by (-score, key)."""
        hits = item.get("hits", {}).get("hits", [])
        keys = np.fromiter((self.of(hit) for hit in hits), np.int32, len(hits))
        scores = np.fromiter((hit["_score"] or 0.0 for hit in hits), np.float32, len(hits))
        order = np.lexsort((keys, -scores))
        return keys[order], scores[order]


class ByOrd(Keys):
    """Passages of our indices. Nothing is fetched but one doc value."""

    body: ClassVar[Clause] = {"_source": False, "stored_fields": "_none_", "docvalue_fields": ["ord"]}

    def of(self, hit: Clause) -> int:
        """See `Keys`."""
        return int(hit["fields"]["ord"][0])

    def clause(self, keys: Sequence[int]) -> Clause:
        """See `Keys`."""
        return {"terms": {"ord": list(keys)}}


class ById(Keys):
    """Documents of any index, numbered as they are first seen. For one request: it remembers."""

    body: ClassVar[Clause] = {"_source": False}

    def __init__(self) -> None:
        self.documents: list[tuple[str, str]] = []
        """Index and `_id` by key."""
        self._known: dict[tuple[str, str], int] = {}

    def of(self, hit: Clause) -> int:
        """See `Keys`."""
        document = hit["_index"], hit["_id"]
        key = self._known.setdefault(document, len(self.documents))
        if key == len(self.documents):
            self.documents.append(document)
        return key

    def clause(self, keys: Sequence[int]) -> Clause:
        """See `Keys`. The same id in two indices passes in both; the hits tell them apart."""
        return {"ids": {"values": [self.documents[key][1] for key in keys]}}
