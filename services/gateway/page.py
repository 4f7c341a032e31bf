"""The hits that are shown: fetched in one trip with the count of all matches, in the native shape."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.gateway.body import SearchBody
from services.gateway.filter_path import filtered
from services.gateway.node import Node, Search
from services.gateway.params import Form

Clause = dict[str, Any]

FIELD = "msmctl"
"""Of `fields`: how a hit came about."""
_TELLING = frozenset({"_name", "inner_hits"})


@dataclass(frozen=True)
class Wanted:
    """A hit of the page.

    Attributes:
        key: What `Source.key` gives for it.
        score: The final one.
        why: How it came about; None: not told.
    """

    key: Hashable
    score: float
    why: Mapping[str, Any] | None


@dataclass(frozen=True)
class Source:
    """Where hits are fetched from.

    Attributes:
        header: Header line of the searches: the index, and what the URL says of it.
        query: Lets just the wanted hits through.
        key: Tells a fetched hit.
        body: Further keys of every search: `pit`, `sort`, `runtime_mappings`.
    """

    header: Clause
    query: Clause
    key: Callable[[Clause], Hashable]
    body: Clause = field(default_factory=dict)


@dataclass(frozen=True)
class Matches:
    """What all matches are, for `hits.total` and aggregations.

    Attributes:
        query: Of the lexical leg, or of all retrievers together.
        body: Further keys: `pit`, `runtime_mappings`.
    """

    query: Clause
    body: Clause = field(default_factory=dict)


async def complete(
    node: Node,
    wanted: Sequence[Wanted],
    source: Source,
    matches: Matches,
    body: SearchBody,
    highlighted: Clause | None,
    best: float | None,
    *,
    typed_keys: bool,
) -> Clause:
    """The answer but for `took` and `timed_out`.

    Args:
        node: As the caller.
        wanted: The page, in its final order.
        source: Where it lies.
        matches: What is counted.
        body: Of the request.
        highlighted: The query that highlights, where the request names none.
        best: The highest score of all, for `max_score`.
        typed_keys: Aggregations say their type.

    Raises:
        Refused: the node's error, a mistake in `highlight` or `aggs` for instance.
    """
    searches: list[Search] = []
    if wanted:
        searches.append((source.header, _fetch(wanted, source, body, highlighted)))
    counted = body.count.get("track_total_hits") is not False or len(body.count) > 1 or not wanted
    if counted:
        searches.append((source.header, _count(matches, body)))
    items = await node.msearch(searches, typed_keys=typed_keys)
    hits = _hits(wanted, items[0], source) if wanted else []
    total = {"total": items[-1]["hits"]["total"]} if "total" in items[-1]["hits"] else {}
    counts = {"aggregations": items[-1]["aggregations"]} if "aggregations" in items[-1] else {}
    return {
        "_shards": items[-1]["_shards"],
        "hits": {**total, "max_score": best, "hits": hits},
        **counts,
    }


def nothing(matches: int) -> Clause:
    """The same, of a node that did not tell in time: so many matches at least, none of them shown."""
    return {
        "_shards": {"total": 0, "successful": 0, "skipped": 0, "failed": 0},
        "hits": {"total": {"value": matches, "relation": "gte"}, "max_score": None, "hits": []},
    }


def _fetch(wanted: Sequence[Wanted], source: Source, body: SearchBody, highlighted: Clause | None) -> Clause:
    fetch = dict(body.fetch)
    highlight = fetch.get("highlight")
    if isinstance(highlight, dict) and highlighted and "highlight_query" not in highlight:
        fetch["highlight"] = {**highlight, "highlight_query": highlighted}
    query, asked = source.query, body.query or highlighted
    if asked and _tells_of_hits(asked):
        query = {"bool": {"filter": [query], "should": [asked]}}
    return {**source.body, **fetch, "query": query, "size": len(wanted), "track_total_hits": False}


def _tells_of_hits(clause: Clause) -> bool:
    """Whether a query has hits say more than their score: `matched_queries`, `inner_hits`."""
    waiting: list[Any] = [clause]
    while waiting:
        present = waiting.pop()
        if isinstance(present, dict):
            if not _TELLING.isdisjoint(present):
                return True
            waiting += present.values()
        elif isinstance(present, list):
            waiting += present
    return False


def _count(matches: Matches, body: SearchBody) -> Clause:
    post = {"post_filter": body.post_filter} if body.post_filter else {}
    return {**matches.body, **body.count, **post, "query": matches.query, "size": 0}


def _hits(wanted: Sequence[Wanted], item: Clause, source: Source) -> list[Clause]:
    """Fetched hits in the wanted order; one that was removed meanwhile is left out."""
    found = {source.key(hit): hit for hit in item["hits"]["hits"]}
    hits = []
    for one in wanted:
        if one.key not in found:
            continue
        hit = {name: value for name, value in found[one.key].items() if name != "sort"}
        hit["_score"] = one.score
        if one.why is not None:
            hit["fields"] = {**hit.get("fields", {}), FIELD: [one.why]}
        hits.append(hit)
    return hits


def formed(answer: Clause, form: Form) -> Clause:
    """An answer as the URL wants it written; `filter_path` is for the caller of the last step."""
    if form.total_as_int and isinstance(total := answer["hits"].get("total"), dict):
        answer["hits"]["total"] = total["value"]
    return answer


def only(answer: Any, form: Form) -> Any:
    """What `filter_path` leaves of an answer."""
    return filtered(answer, form.filter_path) if form.filter_path else answer
