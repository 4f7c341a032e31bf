"""A cross-encoder over the head of a ranking, as far as it gets until the deadline: best so far."""

from __future__ import annotations

import asyncio
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
    """Each text's head, scored: one trip for the passages' texts, one call of the model per text.

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
    bodies = [sources.body(ords, fields) for ords in wanted]
    try:
        items = await trips.send(bodies, deadline, rerank.window, WHOLE)
    except MsmError as error:
        return [Head(failure=Failure.of("rerank", error))] * len(texts)
    gate = asyncio.Semaphore(trips.senders)

    async def one(text: str, ranking: Fused, ords: list[int], item: Item) -> Head:
        if isinstance(item, MsmError):
            return Head(failure=Failure.of("rerank", item))
        known = sources.by_ord(item)
        arrived = [o in known for o in ords]
        ce = np.full(len(ords), np.nan)
        async with gate:
            passages = [str(known[o].get(rerank.field, "")) for o in ords if o in known]
            page = min(ask.start + ask.size, len(ranking.ords))
            whole = bool(ask.source) and all(arrived) and len(ords) >= page
            ce[arrived], failure = await logits(rerank, text, passages, models, last if whole else deadline)
        if failure is None and not all(arrived):
            failure = Failure.partial("rerank", f"{sum(arrived)} of {len(ords)} passages could be fetched")
        return Head(ce, known, failure)

    return await asyncio.gather(*map(one, texts, fused, wanted, items))


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
