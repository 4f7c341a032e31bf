"""Term weights of a version: `sparse_vector` queries, the exact dot product with none left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from elasticsearch import Elasticsearch

from services.elastic import msearch
from services.elastic.errors import TooManyTerms
from services.elastic.mapping import ServedSystem
from services.elastic.msearch import Hits

if TYPE_CHECKING:
    from services.encoding.weights import Weights


def search(
    client: Elasticsearch, index: str, system: ServedSystem, weights: Weights, k: int, senders: int
) -> list[Hits | TooManyTerms]:
    """The k best passages for each row of query weights; a passage that shares no term is none.

    Args:
        client: From `services.elastic.client.connect`.
        index: Concrete name of a passages index that holds the system's term weights.
        system: Whose.
        weights: Of the queries.
        k: Hits per query, at most 10,000.
        senders: Parallel requests.

    Returns:
        Per query: ords int32, scores float32, sorted by (-score, ord); or why the node refuses this one.
        Elasticsearch keeps nine significant bits of a passage's weight, so that scores are within .4 % of
        the product.
    """
    nothing: dict[str, Any] = {"match_none": {}}
    queries = [weights.by_term(n) for n in range(len(weights))]
    bodies = [msearch.trimmed(clause(system, query) if query else nothing, k) for query in queries]
    found = msearch.outcomes(client, index, bodies, k, senders, msearch.FILTER_PATH)
    return [item if isinstance(item, TooManyTerms) else msearch.hits_of(item) for item in found]


def clause(system: ServedSystem, weights: Mapping[str, float]) -> dict[str, Any]:
    """The query for a text's weights by term, none pruned."""
    return {"sparse_vector": {"field": system.field, "query_vector": dict(weights), "prune": False}}
