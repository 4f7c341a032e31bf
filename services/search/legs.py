"""Legs: what each asks Elasticsearch for a text, with the user's filters, and what its scores mean.

A new kind of leg is a class here: where its query comes from (text, vector, weights), and its scale.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from elasticsearch import AsyncElasticsearch

from services.deadline import Deadline
from services.elastic import knn, sparse
from services.elastic.mapping import ServedSystem, VectorIndex
from services.elastic.msearch import Hits
from services.elastic.terms import match_async
from services.errors import MsmError
from services.inference.models import Models
from services.search.failures import ENCODE
from services.search.fusion import Leg as Column

Floats = npt.NDArray[np.float32]
Clause = dict[str, Any]
Query = Callable[[Sequence[Clause], int], Clause]
"""A text's query, given filters and how many hits it shall bring."""


@dataclass(frozen=True)
class Tools:
    """What legs make their queries with.

    Attributes:
        client: May analyse texts with the index.
        index: Whose analyzer counts; a concrete one.
        models: Encoders.
    """

    client: AsyncElasticsearch
    index: str
    models: Models


class Leg(ABC):
    """One way to find passages."""

    unmatched: ClassVar[float] = 0.0
    """Score of a passage that the leg's query does not match at all."""

    lists_all: ClassVar[bool] = True
    """Whether a list that is shorter than it might be holds every passage that matches."""

    is_sampled: ClassVar[bool] = True
    """Whether its scores mean something only against those of random passages."""

    @property
    @abstractmethod
    def column(self) -> Column:
        """Its name and scale, as fusion methods and explanations know it."""

    @property
    def preparation(self) -> str:
        """What `degraded` calls a failure to make the query."""
        return self.column.name

    @abstractmethod
    async def queries(self, texts: Sequence[str], tools: Tools, deadline: Deadline) -> list[Query]:
        """The query of each text.

        Raises:
            MsmError: they cannot be made; the other legs answer without this one.
        """

    def hits(self, hits: Hits) -> Hits:
        """Elasticsearch's scores turned into the leg's own."""
        return hits


@dataclass(frozen=True)
class Lexical(Leg):
    """BM25, or whatever query the caller brings.

    Attributes:
        fields: Boost by field.
        clause: The query itself, in place of the text's terms.
    """

    fields: Mapping[str, float] = field(default_factory=lambda: {"text": 1.0})
    clause: Clause | None = None

    is_sampled: ClassVar[bool] = False  # its terms are weighed by how rare they are

    @property
    def column(self) -> Column:
        """See `Leg`."""
        return Column("bm25", "bm25")

    async def queries(self, texts: Sequence[str], tools: Tools, deadline: Deadline) -> list[Query]:
        """See `Leg`. Only long texts need a word with the node."""
        if self.clause is not None:
            return [_filtered(self.clause)] * len(texts)
        async with asyncio.timeout(deadline.timeout):
            clauses = [await match_async(tools.client, tools.index, text, self.fields) for text in texts]
        return [_filtered(clause) for clause in clauses]


@dataclass(frozen=True)
class Dense(Leg):
    """KNN with a served system's query vectors. Filtered to no more passages than k, it is exact.

    Attributes:
        system: Whose vectors.
        vector_index: How the index holds them: quantised ones are scored again by the true ones.
        stored: Index and qid of a stored query, whose vector is taken; None: the text is encoded.
    """

    system: ServedSystem
    vector_index: VectorIndex
    stored: tuple[str, str] | None = None

    lists_all: ClassVar[bool] = False  # a graph search may miss some

    @property
    def column(self) -> Column:
        """See `Leg`. A passage that could not be encoded has no vector: it is unmatched."""
        return Column(self.system.name, "cosine" if self.system.similarity == "cosine" else "dot")

    @property
    def preparation(self) -> str:
        """See `Leg`."""
        return f"{ENCODE}{self.system.name}"

    async def queries(self, texts: Sequence[str], tools: Tools, deadline: Deadline) -> list[Query]:
        """See `Leg`. Every different text is encoded once."""
        if self.stored is not None:
            return [self._query(knn.stored(self.system, *self.stored))] * len(texts)
        unique = list(dict.fromkeys(texts))
        async with asyncio.timeout(deadline.timeout):
            vectors = await tools.models.embed(self.system, unique, deadline)
        if vectors.shape != (len(unique), self.system.dims) or not np.isfinite(vectors).all():
            raise MsmError(
                f"system '{self.system.name}': its encoder gave {vectors.dtype}{list(vectors.shape)} for "
                f"{len(unique)} texts, not finite float32[{len(unique)}, {self.system.dims}]",
                hint="the models process has another model than the index was made with",
            )
        made = {text: self._query(knn.given(vector)) for text, vector in zip(unique, vectors, strict=True)}
        return [made[text] for text in texts]

    def hits(self, hits: Hits) -> Hits:
        """See `Leg`: cosines or dot products."""
        return hits[0], knn.similarity(self.system, hits[1])

    def _query(self, vector: Clause) -> Query:
        return lambda filters, k: {"knn": knn.by(self.system, self.vector_index, vector, k, filters)}


@dataclass(frozen=True)
class Sparse(Leg):
    """Dot product of term weights, none pruned.

    Attributes:
        system: Whose passages' weights.
        weights: Of the query, by token id, all positive; None: what the system makes of the text.
        stored: Text of a stored query, in place of the text that is asked.
    """

    system: ServedSystem
    weights: Mapping[str, float] | None = None
    stored: str | None = None

    @property
    def column(self) -> Column:
        """See `Leg`."""
        return Column(self.system.name, "sparse")

    @property
    def preparation(self) -> str:
        """See `Leg`."""
        return f"{ENCODE}{self.system.name}"

    async def queries(self, texts: Sequence[str], tools: Tools, deadline: Deadline) -> list[Query]:
        """See `Leg`. Every different text is encoded once; one without a term finds nothing."""
        if self.weights is not None:
            return [_filtered(sparse.clause(self.system, self.weights))] * len(texts)
        if self.stored is not None:
            texts = [self.stored] * len(texts)
        unique = list(dict.fromkeys(texts))
        async with asyncio.timeout(deadline.timeout):
            made = await tools.models.weigh(self.system, unique, deadline)
        if len(made) != len(unique) or not made.finite.all():
            raise MsmError(
                f"system '{self.system.name}': its encoder gave {len(made)} rows for {len(unique)} texts, or "
                "weights that are no numbers",
                hint="the models process has another model than the index was made with",
            )
        clauses = {text: self._clause(made.by_term(n)) for n, text in enumerate(unique)}
        return [_filtered(clauses[text]) for text in texts]

    def _clause(self, weights: Mapping[str, float]) -> Clause:
        return sparse.clause(self.system, weights) if weights else {"match_none": {}}


def _filtered(clause: Clause) -> Query:
    """Filters beside a query that scores."""
    return lambda filters, k: {"bool": {"must": [clause], "filter": list(filters)}} if filters else clause
