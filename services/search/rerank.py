"""A cross-encoder over the head of a ranking, as far as it gets until the deadline: best so far."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from services.deadline import Deadline
from services.errors import MsmError, NotFound, UsageError
from services.inference.models import Models
from services.search import sources
from services.search.ask import Ask, Fused, Rerank, Source
from services.search.failures import Failure
from services.search.trips import WHOLE, Item, Trips

Floats = npt.NDArray[np.float64]

_FIRST = 64
"""Passages of the first block where there is a deadline."""
GRACE_MS = 5.0
"""What an answer that was ready by the deadline may need to arrive."""


@dataclass(frozen=True)
class Head:
    """A text's head after the cross-encoder.

    Attributes:
        ce: Raw logits, float64 [head], NaN where not scored; empty where nothing was asked.
        sources: What was fetched for it, by ord.
        failure: Why there are not all logits.
    """

    ce: Floats = field(default_factory=lambda: np.empty(0))
    sources: Mapping[int, Source] = field(default_factory=dict)
    failure: Failure | None = None


async def heads(
    ask: Ask,
    texts: Sequence[str],
    fused: Sequence[Fused],
    trips: Trips,
    models: Models,
    deadline: Deadline,
    last: Deadline,
) -> list[Head]:
    """Each text's head, scored block by block: the texts' first blocks are fetched in one trip.

    Args:
        ask: With `rerank`.
        texts: The queries.
        fused: What is reranked, per text.
        trips: For the passages' texts.
        models: Who computes.
        deadline: By when.
        last: By when where the texts bring all that the page shows.

    Raises:
        NotFound, UsageError: there is no such cross-encoder.
    """
    assert ask.rerank is not None  # noqa: S101 - the caller's condition
    rerank, fields = ask.rerank, tuple(dict.fromkeys((ask.rerank.field, *ask.source)))
    wanted = [one.ords[: rerank.window].tolist() for one in fused]
    if not any(wanted):
        return [Head()] * len(texts)

    async def fetched(lists: Sequence[list[int]], deadline: Deadline) -> list[Item]:
        try:
            bodies = [sources.body(ords, fields) for ords in lists]
            return await trips.send(bodies, deadline, max(map(len, lists)), WHOLE)
        except MsmError as error:
            return [error] * len(lists)

    [(_, end), *_] = _blocks(rerank.window, deadline)
    items = await fetched([ords[:end] for ords in wanted], deadline)
    gate = asyncio.Semaphore(trips.senders)

    async def one(text: str, ranking: Fused, ords: list[int], item: Item) -> Head:
        ce, known, failure = np.full(len(ords), np.nan), dict[int, Source](), None
        shown = min(ask.start + ask.size, len(ranking.ords))
        async with gate:
            for lo, hi in _blocks(len(ords), deadline):
                if lo:
                    [item] = await fetched([ords[lo:hi]], deadline)
                if isinstance(item, MsmError):
                    failure = Failure.of("rerank", item)
                    break
                known |= sources.by_ord(item)
                arrived = [lo + n for n, o in enumerate(ords[lo:hi]) if o in known]
                passages = [str(known[ords[n]].get(rerank.field, "")) for n in arrived]
                whole = bool(ask.source) and hi >= shown and len(known) == hi
                by = last if whole else deadline
                ce[arrived], failure = await logits(rerank, text, passages, models, by)
                if failure is None and len(arrived) < hi - lo:
                    failure = Failure.partial("rerank", "not all passages could be fetched")
                if failure:
                    break
        reached = int((~np.isnan(ce)).sum())
        if failure and reached:
            why = "" if failure.reason in ("partial", "timeout") else f": {failure.error.message}"
            failure = Failure.partial("rerank", f"{reached} of {len(ords)} passages were reached{why}")
        return Head(ce, known, failure)

    return await asyncio.gather(*map(one, texts, fused, wanted, items))


def _blocks(count: int, deadline: Deadline) -> list[tuple[int, int]]:
    """What is fetched and scored at a time, from and to: all of it, but for somebody who waits no longer.

    Then most of a deep window would be fetched in vain, and the time that takes be lost to all requests.
    Each block is twice as long as the one before, so that a quick model does not wait for many trips.
    """
    if deadline.timeout is None:
        return [(0, count)]
    ends = [0]
    while ends[-1] < count:
        ends.append(min(count, 2 * ends[-1] + _FIRST))
    return list(itertools.pairwise(ends))


async def logits(
    rerank: Rerank, text: str, passages: Sequence[str], models: Models, deadline: Deadline
) -> tuple[Floats, Failure | None]:
    """Raw logits of a text with passages, float64 [passages], NaN where not reached.

    Args:
        rerank: The cross-encoder.
        text: The query.
        passages: In fused order.
        models: Who computes.
        deadline: By when.

    Returns:
        The logits, and why there are not all of them.

    Raises:
        NotFound, UsageError: there is no such cross-encoder.
    """
    scores = np.full(len(passages), np.nan)
    if not passages:
        return scores, None
    try:
        async with asyncio.timeout(deadline.earlier(-GRACE_MS).timeout):
            scores[:] = await models.rerank(rerank.model, text, passages, deadline)
    except (NotFound, UsageError):
        raise
    except Exception as error:  # whatever is wrong with a model: the fused order is an answer
        return scores, Failure.of("rerank", error)
    reached = int((~np.isnan(scores)).sum())
    if reached < len(scores):
        return scores, Failure.partial("rerank", f"{reached} of {len(scores)} passages were reached in time")
    return scores, None


def final_order(fused: Fused, ce: Floats) -> tuple[npt.NDArray[np.int64], Floats, Floats]:
    """The order after reranking.

    Args:
        fused: The ranking before.
        ce: Raw logits of its head, NaN where not scored.

    Returns:
        Places in `fused`, int64 [n]: the scored ones by (-logit, fused order), then the rest in fused order.
        Final scores, float64 [n], never rising: logits, then the fused scores of the rest, shifted so that
        they begin at the last logit; the fused scores as they are where nothing was scored.
        ce_scores, float64 [n]: logits, NaN for the rest.
    """
    every = np.full(len(fused.rows), np.nan)
    every[: len(ce)] = ce
    scored = np.flatnonzero(~np.isnan(every))
    rest = np.flatnonzero(np.isnan(every))
    if not len(scored):
        return rest, fused.scores, every
    scored = scored[np.lexsort((scored, -every[scored]))]
    places = np.concatenate([scored, rest])
    below = fused.scores[rest]
    if len(rest):
        below = below - below[0] + every[scored[-1]]
    return places, np.concatenate([every[scored], below]), every[places]
