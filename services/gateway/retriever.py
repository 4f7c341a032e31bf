"""Native retriever trees: `rrf`, `linear` and `text_similarity_reranker` read into a tree of ours.

What they hold below that (`standard`, `knn`, whatever the node has) stays as it is: the node answers it.
Parameters, defaults and limits are those of Elasticsearch 9's reference, "Retrievers".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Literal, cast, get_args

from services.gateway.body import number, real
from services.gateway.native import bad, malformed

Clause = dict[str, Any]
Normaliser = Literal["none", "minmax", "l2_norm"]

DEFAULT_WINDOW = 10
MAX_WINDOW = 10_000
_MAX_DEPTH, _MAX_LEAVES = 8, 32


@dataclass(frozen=True)
class Leaf:
    """A retriever that the node answers.

    Attributes:
        name: Its place in the tree and its kind: `0.standard`.
        body: `{"standard": {…}}`, with the filters of the retrievers above it.
    """

    name: str
    body: Clause

    @property
    def kind(self) -> str:
        """Its own name, such as `standard` or `knn`."""
        return next(iter(self.body))

    @property
    def inner(self) -> Clause:
        """What stands under its kind."""
        inner = self.body[self.kind]
        return cast(Clause, inner) if isinstance(inner, dict) else {}


@dataclass(frozen=True)
class Rrf:
    """Reciprocal rank fusion: sum of weight / (rank_constant + rank)."""

    children: tuple[Tree, ...]
    weights: tuple[float, ...]
    constant: int
    window: int
    min_score: float | None = None


@dataclass(frozen=True)
class Linear:
    """Sum of weight times normalised score; what a child does not list has 0 of it."""

    children: tuple[Tree, ...]
    weights: tuple[float, ...]
    normalisers: tuple[Normaliser, ...]
    window: int
    min_score: float | None = None


@dataclass(frozen=True)
class Reranker:
    """A cross-encoder orders the head of another ranking.

    Attributes:
        children: The one ranking.
        model: `inference_id`; None: not given.
        field: Whose text is scored.
        text: Against which.
    """

    children: tuple[Tree]
    model: str | None
    field: str
    text: str
    window: int
    min_score: float | None = None


Compound = Rrf | Linear | Reranker
Tree = Leaf | Compound


def is_ours(retriever: Any) -> bool:
    """Whether the outermost retriever is one that we answer."""
    return isinstance(retriever, dict) and len(retriever) == 1 and next(iter(retriever)) in _READERS


def read(retriever: Clause) -> Compound:
    """The tree of a retriever that is ours.

    Raises:
        Refused: it is no retriever, or says what we cannot follow.
    """
    return cast(Compound, _tree(retriever, "", _Above([], count(1))))


def leaves(tree: Tree) -> Iterator[Leaf]:
    """All leaves, from left to right."""
    if isinstance(tree, Leaf):
        yield tree
    else:
        for child in tree.children:
            yield from leaves(child)


def windows(tree: Tree, above: int = 0) -> Iterator[int]:
    """How many hits each leaf shall bring, from left to right: the window of the retriever above it."""
    if isinstance(tree, Leaf):
        yield above
    else:
        for child in tree.children:
            yield from windows(child, tree.window)


@dataclass(frozen=True)
class _Above:
    """What a retriever is read under.

    Attributes:
        filters: Of the retrievers above it.
        leaves: Counts those of the whole tree.
    """

    filters: list[Clause]
    leaves: Iterator[int]


def _tree(given: Any, path: str, above: _Above) -> Tree:
    if path.count(".") >= _MAX_DEPTH:
        raise bad(f"[retriever] is nested deeper than {_MAX_DEPTH}")
    if not isinstance(given, dict) or len(given) != 1:
        raise malformed("[retriever] is an object with the name of one retriever")
    name, inner = next(iter(given.items()))
    if not isinstance(inner, dict):
        raise malformed(f"[{name}] malformed, expected an object")
    own = inner.get("filter") or []
    filters = [*above.filters, *(own if isinstance(own, list) else [own])] if own else above.filters
    if name in _READERS:
        return _READERS[name](inner, path, replace(above, filters=filters))
    if next(above.leaves) > _MAX_LEAVES:
        raise bad(f"[retriever] holds more than {_MAX_LEAVES} retrievers")
    return Leaf(f"{path}{name}", {name: {**inner, "filter": filters} if filters else inner})


def _rrf(given: Clause, path: str, above: _Above) -> Rrf:
    _only(given, "rrf", {"retrievers", "fields", "query", "rank_constant", "rank_window_size"})
    children, weights = [], []
    for n, one in enumerate(_retrievers(given, "rrf")):
        weighted = isinstance(one, dict) and "retriever" in one
        if weighted:
            _only(one, "rrf", {"retriever", "weight"}, base=False)
        children.append(_tree(one["retriever"] if weighted else one, f"{path}{n}.", above))
        weights.append(_weight(one, "rrf") if weighted else 1.0)
    constant = number(given, "rank_constant", 60, 1)
    return Rrf(tuple(children), tuple(weights), constant, _window(given), real(given, "min_score", None))


def _linear(given: Clause, path: str, above: _Above) -> Linear:
    _only(given, "linear", {"retrievers", "fields", "query", "normalizer", "rank_window_size"})
    common = given.get("normalizer")
    children, weights, normalisers = [], [], []
    for n, one in enumerate(_retrievers(given, "linear")):
        one = one if isinstance(one, dict) and "retriever" in one else {"retriever": one}
        _only(one, "linear", {"retriever", "weight", "normalizer"}, base=False)
        children.append(_tree(one["retriever"], f"{path}{n}.", above))
        weights.append(_weight(one, "linear"))
        normalisers.append(_normaliser(one.get("normalizer") or common or "none"))
    least = real(given, "min_score", None)
    return Linear(tuple(children), tuple(weights), tuple(normalisers), _window(given), least)


def _reranker(given: Clause, path: str, above: _Above) -> Reranker:
    known = {
        "retriever",
        "field",
        "inference_id",
        "inference_text",
        "rank_window_size",
        "allow_rerank_failures",
    }
    _only(given, "text_similarity_reranker", known)
    for key in ("field", "inference_text"):
        if not isinstance(given.get(key), str) or not given[key]:
            raise malformed(f"[text_similarity_reranker] [{key}] must be provided and is a text")
    model = given.get("inference_id")
    if model is not None and not isinstance(model, str):
        raise malformed("[text_similarity_reranker] [inference_id] is a text")
    child = _tree(given.get("retriever"), f"{path}0.", above)
    least = real(given, "min_score", None)
    return Reranker((child,), model, given["field"], given["inference_text"], _window(given), least)


_READERS: dict[str, Callable[[Clause, str, _Above], Compound]] = {
    "rrf": _rrf,
    "linear": _linear,
    "text_similarity_reranker": _reranker,
}


def _retrievers(given: Clause, name: str) -> list[Any]:
    """The sub-retrievers; `fields` and `query` are short for one that asks all fields."""
    listed = given.get("retrievers")
    if listed is None and isinstance(given.get("query"), str):
        fields = given.get("fields")
        asked = {"query": given["query"], "type": "most_fields"} | ({"fields": fields} if fields else {})
        return [{"standard": {"query": {"multi_match": asked}}}]
    if not isinstance(listed, list) or not listed:
        raise malformed(f"[{name}] [retrievers] must be provided and is a list")
    if given.get("query") is not None or given.get("fields") is not None:
        raise bad(f"[{name}] [retrievers] cannot be used with [query] or [fields]")
    return listed


def _only(given: Clause, name: str, known: set[str], *, base: bool = True) -> None:
    allowed = known | ({"filter", "min_score", "_name"} if base else set())
    unknown = sorted(key for key in given if key not in allowed)
    if unknown:
        raise malformed(f"[{name}] does not know [{'], ['.join(unknown)}]")


def _window(given: Clause) -> int:
    window = number(given, "rank_window_size", DEFAULT_WINDOW, 1)
    if window > MAX_WINDOW:
        raise bad(f"[rank_window_size] is {MAX_WINDOW} at most, found [{window}]")
    return window


def _weight(given: Clause, name: str) -> float:
    weight = real(given, "weight", 1.0)
    if weight is None or weight < 0:
        raise bad(f"[{name}] [weight] must be non-negative, found [{weight}]")
    return weight


def _normaliser(name: Any) -> Normaliser:
    if name not in get_args(Normaliser):
        raise bad(f"[linear] [normalizer] is one of {', '.join(get_args(Normaliser))}, found [{name}]")
    return cast(Normaliser, name)
