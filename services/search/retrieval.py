"""The two trips of a search: what each leg lists, then the true scores that are missing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from services.deadline import Deadline
from services.elastic.msearch import Hits, hits_of, trimmed
from services.errors import MsmError, NotFound, TooLate
from services.search import sources
from services.search.ask import Ask, Source
from services.search.failures import Failure
from services.search.fusion import Background, Candidates
from services.search.legs import Clause, Leg, Lexical, Query, Tools
from services.search.pace import Reserve
from services.search.sample import Sample
from services.search.table import missing, put, side_by_side, within
from services.search.trips import TRIMMED, WHOLE, Trips

Floats = npt.NDArray[np.float64]
_SCORES = "scores"


@dataclass(frozen=True)
class Ready:
    """A leg with its query for every text."""

    leg: Leg
    queries: list[Query]


@dataclass
class Found:
    """What the legs brought for one text.

    Attributes:
        legs: Those that answered.
        table: Their lists side by side; completed in place.
        failures: What is missing.
        sources: By ord, where the first trip brought them.
    """

    legs: list[Ready]
    table: Candidates
    failures: list[Failure] = field(default_factory=list)
    sources: Mapping[int, Source] = field(default_factory=dict)

    @property
    def unmatched(self) -> list[float]:
        """Per leg, its score of what does not match."""
        return [one.leg.unmatched for one in self.legs]


async def prepare(
    legs: Sequence[Leg], texts: Sequence[str], tools: Tools, deadline: Deadline
) -> tuple[list[Ready], list[Failure]]:
    """The legs' queries, all made at once, and the legs that have none."""

    async def prepared(leg: Leg) -> Ready | Failure:
        try:
            return Ready(leg, await leg.queries(texts, tools, deadline))
        except Exception as error:
            return Failure.of(leg.preparation, error)

    made = await asyncio.gather(*map(prepared, legs))
    return (
        [one for one in made if isinstance(one, Ready)],
        [one for one in made if isinstance(one, Failure)],
    )


async def first_trip(
    ask: Ask, ready: Sequence[Ready], count: int, depth: int, trips: Trips, deadline: Deadline
) -> list[Found]:
    """What each leg lists for each of `count` texts.

    Raises:
        Unavailable: Elasticsearch is lost. NotFound: no such index or stored query.
    """
    bodies = [trimmed(one.queries[n](ask.filters, depth), depth) for n in range(count) for one in ready]
    whole = is_final(ask)
    if whole:
        bodies = [sources.with_sources(body, ask.source) for body in bodies]
    items = await trips.send(bodies, deadline, depth, WHOLE if whole else TRIMMED)
    rows = [items[n * len(ready) : (n + 1) * len(ready)] for n in range(count)]
    found = [_found(ready, row, depth) for row in rows]
    if whole:
        for one, row in zip(found, rows, strict=True):
            one.sources = next((sources.by_ord(item) for item in row if isinstance(item, dict)), {})
    return found


async def second_trip(
    sample: Sample | None, found: Sequence[Found], trips: Trips, deadline: Deadline, needed: Reserve
) -> None:
    """Fill in, in place, the true score of every candidate that a leg did not list, and of the sample.

    The candidates have passed the filters by which a leg found them. Where there is no time, or a leg fails,
    scores stay unknown and a failure says so.
    """
    places = [
        _Place(n, column, missing(text.table, column), _sampled(sample, one.leg))
        for n, text in enumerate(found)
        for column, one in enumerate(text.legs)
        if len(text.legs) > 1
    ]
    places = [place for place in places if len(place.ords)]
    if not places:
        return
    if deadline.left * 1000 < needed.ms:
        needed.skipped()
        for text in found:
            text.failures.append(Failure.of(_SCORES, TooLate("no time was left for missing true scores")))
        return
    bodies = [place.body(found[place.text]) for place in places]
    began = time.monotonic()
    try:
        items = await trips.send(bodies, deadline, max(len(place.ords) for place in places))
        needed.took((time.monotonic() - began) * 1000)
    except MsmError as error:
        items = [error] * len(places)
    backgrounds: dict[tuple[int, int], Floats] = {}
    for place, item in zip(places, items, strict=True):
        backgrounds[place.text, place.column] = place.put(found[place.text], item)
    if sample is not None:
        for n, text in enumerate(found):
            scores = tuple(backgrounds.get((n, column), np.empty(0)) for column in range(len(text.legs)))
            text.table = replace(text.table, background=Background(sample.passages, scores))


@dataclass(frozen=True)
class _Place:
    """What a leg is asked for one text on the second trip: candidates that it did not list, a sample."""

    text: int
    column: int
    missing: npt.NDArray[np.int32]
    sampled: npt.NDArray[np.int32]

    @cached_property
    def ords(self) -> npt.NDArray[np.int32]:
        return np.union1d(self.missing, self.sampled)

    def body(self, found: Found) -> Clause:
        query, ords = found.legs[self.column].queries[self.text], self.ords.tolist()
        return trimmed(query([{"terms": {"ord": ords}}], len(ords)), len(ords))

    def put(self, found: Found, item: Clause | MsmError) -> Floats:
        """Write the candidates' scores into the table; the sample's, float64, empty where there are none."""
        leg = found.legs[self.column].leg
        if isinstance(item, MsmError):
            found.failures.append(Failure.of(_SCORES, item))
            return np.empty(0)
        if item.get("timed_out"):
            found.failures.append(Failure.partial(_SCORES, f"'{leg.column.name}' ran out of time"))
            return np.empty(0)
        ords, scores = leg.hits(hits_of(item))
        asked = within(ords, self.missing)
        put(found.table, self.column, self.missing, np.full(len(self.missing), leg.unmatched))
        put(found.table, self.column, ords[asked], scores[asked])
        sampled = scores[within(ords, self.sampled)].astype(np.float64)
        if leg.lists_all:  # those that do not match have a score all the same
            return np.pad(sampled, (0, len(self.sampled) - len(sampled)), constant_values=leg.unmatched)
        return sampled


def _sampled(sample: Sample | None, leg: Leg) -> npt.NDArray[np.int32]:
    """Ords of the sample that a leg is asked for."""
    return sample.ords if sample is not None and leg.is_sampled else np.empty(0, np.int32)


def is_final(ask: Ask) -> bool:
    """Whether what the first trip finds is the page itself: its sources may come along."""
    lone = len(ask.legs) == 1 and isinstance(ask.legs[0], Lexical)
    return bool(ask.source) and lone and not ask.rerank and not ask.start


def _found(ready: Sequence[Ready], items: Sequence[Clause | MsmError], depth: int) -> Found:
    legs: list[Ready] = []
    lists: list[Hits] = []
    failures: list[Failure] = []
    cut: list[bool] = []
    for one, item in zip(ready, items, strict=True):
        name = one.leg.column.name
        if isinstance(item, NotFound):
            raise item
        if isinstance(item, MsmError):
            failures.append(Failure.of(name, item))
            continue
        hits = one.leg.hits(hits_of(item))
        late, lame = bool(item.get("timed_out")), bool(item.get("_shards", {}).get("failed"))
        if late and not len(hits[0]):
            failures.append(Failure.of(name, TooLate(f"'{name}' found nothing in time")))
            continue
        if late or lame:
            failures.append(Failure.partial(name, "ran out of time" if late else "not every shard answered"))
        legs.append(one)
        lists.append(hits)
        cut.append(late or lame or not one.leg.lists_all or len(hits[0]) >= depth)
    table = side_by_side([one.leg.column for one in legs], lists)
    for column, one in enumerate(legs):
        if not cut[column]:  # all that match were listed: the others' scores are known
            rest = missing(table, column)
            put(table, column, rest, np.full(len(rest), one.leg.unmatched))
    return Found(legs, table, failures)
