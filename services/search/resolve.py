"""From a request to what the engine is asked: names looked up in the served version."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from services.deadline import Deadline
from services.elastic.mapping import ServedSystem
from services.elastic.versions import Version
from services.errors import NotFound, UsageError
from services.search.ask import Ask, Rerank
from services.search.fusion import fusion_named
from services.search.legs import Dense, Leg, Lexical, Sparse
from services.search.request import Bm25Spec, DenseSpec, LegSpec, SearchRequest, SparseSpec, fields_of
from services.search.stored import Stored

DEFAULT_FUSION = "surprisal"
_TOKEN_ID = re.compile(r"0|[1-9][0-9]{0,8}")


def resolved(
    request: SearchRequest,
    version: Version,
    deadline: Deadline,
    ce: str = "",
    stored: Mapping[str, Stored] | None = None,
) -> Ask:
    """The question to a version of an index.

    Args:
        request: What is asked.
        version: Where.
        deadline: For the whole request.
        ce: The cross-encoder that is meant where `rerank` names none.
        stored: The stored queries that the request names.

    Raises:
        NotFound: the version does not serve a system that is asked, or none of the kind.
        UsageError: an unknown filter field, fusion method or parameter; two legs of one name.
    """
    method, params = fusion_named(request.fusion or DEFAULT_FUSION, request.params)
    asked = request.rerank
    rerank = None if asked is None else Rerank(asked.model or ce, asked.window)
    return Ask(
        index=version.passages,
        text=request.query,
        legs=legs_of(request, version, stored or {}),
        fusion=method,
        params=params,
        filters=tuple(condition.clause(version.meta.fields) for condition in request.filters),
        rerank=rerank,
        size=request.size,
        start=request.start,
        deadline=deadline,
    )


def legs_of(request: SearchRequest, version: Version, stored: Mapping[str, Stored]) -> tuple[Leg, ...]:
    """The legs that a request means.

    Raises:
        NotFound: the version does not serve a system that is asked, or none of the kind.
        UsageError: two legs of one name.
    """
    specs = request.legs or _shorthand(request, version)
    legs = tuple(_leg(spec, request, version, stored) for spec in specs)
    name, count = Counter(leg.column.name for leg in legs).most_common(1)[0]
    if count > 1:
        raise UsageError(f"legs: '{name}' is there {count} times", hint="a system has one leg in a search")
    return legs


def _shorthand(request: SearchRequest, version: Version) -> tuple[LegSpec, ...]:
    """The legs that `mode` and `systems` stand for."""
    mode = request.mode or "hybrid"
    if mode == "bm25":
        return (Bm25Spec(),)
    kinds = {system.name: system.kind for system in version.meta.systems.values()}
    meant = [name for name, kind in kinds.items() if mode in (kind, "hybrid")]
    if mode != "hybrid" and not (request.systems or meant):
        raise NotFound(
            f"{version.passages} serves no {mode} system",
            hint=f"`msmctl index build --collection {version.collection} --system SYSTEM`",
        )
    legs: list[LegSpec] = []
    for name in request.systems or meant:
        sparse = mode == "sparse" or (mode == "hybrid" and kinds.get(name) == "sparse")
        legs.append(
            SparseSpec(type="sparse", system=name) if sparse else DenseSpec(type="dense", system=name)
        )
    return tuple(legs) if mode != "hybrid" else (Bm25Spec(), *legs)


def _leg(spec: LegSpec, request: SearchRequest, version: Version, stored: Mapping[str, Stored]) -> Leg:
    if isinstance(spec, Bm25Spec):
        return Lexical(fields_of(spec))
    there = {system.name: system for system in version.meta.systems.values()}
    kind = "sparse" if isinstance(spec, SparseSpec) else "dense"
    system = there.get(spec.system)
    if system is not None and system.kind != kind:
        raise NotFound(
            f"{version.passages} does not serve '{spec.system}' as {kind} system",
            hint=f"it is {system.kind}: mode {system.kind}, or a leg of type {system.kind}",
        )
    if system is None:
        able = ", ".join(name for name, one in there.items() if one.kind == kind) or "none"
        raise NotFound(
            f"{version.passages} does not serve '{spec.system}' as {kind} system (it serves: {able})",
            hint=f"`msmctl index build --collection {version.collection} --system {spec.system}`",
        )
    if isinstance(spec, SparseSpec):
        _require_token_ids(system, spec.weights or {})
        return Sparse(system, spec.weights, stored[request.lookup].text if request.lookup else None)
    qid = spec.lookup or request.lookup
    return Dense(system, version.meta.vector_index, (stored[qid].index, qid) if qid else None)


def _require_token_ids(system: ServedSystem, weights: Mapping[str, float]) -> None:
    """UsageError for a term that no passage can have. Of an index that is not ours, terms may be anything."""
    for term in weights if system.dims else ():
        if not (_TOKEN_ID.fullmatch(term) and int(term) < system.dims):
            raise UsageError(
                f"weights: {term[:40]!r} is no token id of '{system.name}', which are 0 to {system.dims - 1}",
                hint="leave weights out to have the text weighed, or take them from POST /embed_sparse",
            )
