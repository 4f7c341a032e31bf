"""What a query asks in words, and which of its parts are conditions. All pure; no recursion, however deep."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from services.gateway.native import malformed

Clause = dict[str, Any]

_TEXTUAL = ("match", "multi_match", "query_string", "simple_query_string")
_INSIDE = {
    "bool": ("must", "should", "filter"),
    "dis_max": ("queries",),
    "constant_score": ("filter",),
    "boosting": ("positive",),
    "function_score": ("query",),
    "script_score": ("query",),
    "nested": ("query",),
    "pinned": ("organic",),
}
"""Queries that hold others, and where. What is negated is not asked for."""
_WORD = re.compile(r"\w")


def texts(query: Any) -> list[str]:
    """The words of every full-text clause of a query, wherever it stands but under a negation."""
    return [text for _, text in _textual(query)]


def only_text(query: Any) -> str | None:
    """The words of the only full-text clause; None where there is none, or several."""
    found = texts(query)
    return found[0] if len(found) == 1 else None


def conditions(query: Any) -> list[Clause]:
    """What every hit must fulfil without being scored by it: `bool.filter` and `bool.must_not` at the top.

    Raises:
        Refused: they are no clauses.
    """
    inner = _bool(query)
    if inner is None:
        return []
    negated = clauses(inner.get("must_not"), "bool.must_not")
    wanted = clauses(inner.get("filter"), "bool.filter")
    return wanted + ([{"bool": {"must_not": negated}}] if negated else [])


def scores(query: Any) -> bool:
    """Whether a query ranks at all: not if it is absent, `match_all`, or a `bool` of conditions alone."""
    if not isinstance(query, dict) or not query or "match_all" in query:
        return False
    inner = _bool(query)
    if inner is None:
        return "constant_score" not in query
    scoring = clauses(inner.get("must"), "bool.must") + clauses(inner.get("should"), "bool.should")
    return any(clause != {"match_all": {}} for clause in scoring)


def lifted(query: Any) -> Clause:
    """The query with its only full-text clause scored, where Kibana's own language made it a condition.

    KQL puts the words of the search bar into `bool.filter`: nothing would be ranked by them.
    """
    inner = _bool(query)
    if inner is None or scores(query):
        return dict(query or {})
    wanted = clauses(inner.get("filter"), "bool.filter")
    asking = [clause for clause in wanted if texts(clause)]
    if len(asking) != 1:
        return dict(query)
    rest = [clause for clause in wanted if clause is not asking[0]]
    return {"bool": inner | {"must": asking, "filter": rest}}


def clauses(value: Any, where: str) -> list[Clause]:
    """One clause or several, as a list.

    Raises:
        Refused: it is neither.
    """
    listed = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(clause, dict) for clause in listed):
        raise malformed(f"[{where}] holds what is no query")
    return listed


def _bool(query: Any) -> Clause | None:
    inner = query.get("bool") if isinstance(query, dict) else None
    return inner if isinstance(inner, dict) else None


def _textual(query: Any) -> Iterator[tuple[Clause, str]]:
    waiting = [query]
    while waiting:
        present = waiting.pop()
        if isinstance(present, list):
            waiting += reversed(present)
            continue
        if not isinstance(present, dict):
            continue
        for name, inner in present.items():
            if name in _TEXTUAL and (text := _words(name, inner)):
                yield present, text
            elif name in _INSIDE and isinstance(inner, dict):
                waiting += [inner.get(place) for place in reversed(_INSIDE[name])]


def _words(name: str, inner: Any) -> str | None:
    """The words of a clause; None where it asks for a number, a truth value, or for anything (`*`)."""
    if not isinstance(inner, dict) or not inner:
        return None
    said = next(iter(inner.values())) if name == "match" else inner
    text = said.get("query") if isinstance(said, dict) else said
    return text if isinstance(text, str) and _WORD.search(text) else None
