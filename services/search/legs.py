"""Legs: the BM25 query and one kNN query per served system, each with the user's filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from elasticsearch import Elasticsearch

from services.elastic import knn
from services.elastic.mapping import ServedSystem
from services.elastic.msearch import Hits
from services.elastic.terms import match
from services.elastic.versions import Version
from services.search.fusion import Leg

Floats = npt.NDArray[np.float32]
Clause = dict[str, Any]


@dataclass(frozen=True)
class Lexical:
    """BM25 on the passage's text."""

    client: Elasticsearch
    version: Version

    leg = Leg("bm25", "bm25")

    def query(self, text: str, filters: Sequence[Clause], k: int) -> Clause:
        """The query for a text."""
        terms = match(self.client, self.version.passages, text)
        return {"bool": {"must": [terms], "filter": list(filters)}} if filters else terms

    def hits(self, hits: Hits) -> Hits:
        """Scores as they are."""
        return hits

    unmatched = 0.0
    """Score of a passage that shares no term with the query."""


@dataclass(frozen=True)
class Dense:
    """KNN with a system's query vectors.

    Attributes:
        vectors: By text, float32 [dims].
    """

    version: Version
    system: ServedSystem
    vectors: dict[str, Floats]

    @property
    def leg(self) -> Leg:
        """The system's name and similarity."""
        return Leg(self.system.name, self.system.similarity)

    def query(self, text: str, filters: Sequence[Clause], k: int) -> Clause:
        """The query for a text's vector. Filtered to no more passages than k, it is exact."""
        kind = self.version.meta.vector_index
        return {"knn": knn.clause(self.system, kind, self.vectors[text], k, filters)}

    def hits(self, hits: Hits) -> Hits:
        """Scores turned back into cosines or dot products."""
        return hits[0], knn.similarity(self.system, hits[1])

    unmatched = 0.0
    """Score of a passage that could not be encoded: its vector is zero, and no zero vector is indexed."""


AnyLeg = Lexical | Dense
