"""A look at all given lists before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.errors import InputError
from services.reranking.given import GivenLists
from services.reranking.pairs import Known, Pairs, batches
from services.reranking.request import RerankRequest


@dataclass
class Survey:
    """What is in the given lists.

    Attributes:
        pairs: Within the depth.
        reranked: Pairs within the depth that are known.
        stored: How many of these have a stored score.
        unknown: How many within the depth are not in the collection, by what is unknown.
    """

    queries: int = 0
    passages: int = 0
    pairs: int = 0
    reranked: int = 0
    stored: int = 0
    unknown_queries: int = 0
    unknown_passages: int = 0


def survey(request: RerankRequest, lists: GivenLists) -> Survey:
    """Look at all lists before anything is computed.

    Raises:
        InputError: a query or passage is not in the collection, and these are not to be skipped.
    """
    found = Survey()
    for pairs in batches(lists, request.depth):
        found.queries += len(pairs.lists)
        found.passages += sum(len(one.pids) for one in pairs.lists)
        found.pairs += len(pairs)
        if request.collection is None:
            found.reranked += len(pairs)
            continue
        known = Known(request.collection, pairs)
        if request.on_error == "fail":
            _require_known(request, pairs, known)
        mask = known.mask
        found.reranked += int(mask.sum())
        found.stored += request.reranker.known(known.qords[mask], known.ords[mask])
        found.unknown_queries += int((known.of_lists < 0).sum())
        found.unknown_passages += int(((known.ords < 0) & (known.qords >= 0)).sum())
    return found


def _require_known(request: RerankRequest, pairs: Pairs, known: Known) -> None:
    assert request.collection is not None  # noqa: S101 - only then something can be unknown
    wrong = np.flatnonzero(~known.mask)
    if not len(wrong):
        return
    n, name = int(wrong[0]), request.collection.name
    qid = pairs.lists[int(pairs.query[n])].qid
    what = f"query '{qid}'" if known.qords[n] < 0 else f"passage '{pairs.pids[n]}' of query '{qid}'"
    raise InputError(
        f"{request.file.path}: {what} is not in collection '{name}'",
        hint="is it a run of another collection? --on-error skip keeps what is unknown below all else",
    )
