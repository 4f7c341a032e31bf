"""The search: legs in one `_msearch`, missing scores in a second, fusion here, then the hits' texts.

A cross-encoder may order the head. All of it is done by a deadline; what is late or broken is left out and
told.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from elasticsearch import AsyncElasticsearch

from services.deadline import Deadline
from services.elastic.versions import Version
from services.errors import MsmError, NotFound, Overloaded, TooLate, Unavailable, UsageError
from services.inference.models import Models
from services.search import sources
from services.search.ask import Ask, Ranked, Source, Timing
from services.search.choice import Choice, leaves_open
from services.search.failures import SEE_STATUS, Failure, Refused, nothing_left
from services.search.legs import Lexical, Tools
from services.search.pace import Pace, Watch
from services.search.page import depth_for, page
from services.search.request import SearchRequest
from services.search.rerank import Head, heads
from services.search.resolve import resolved
from services.search.result import SearchResult, answer
from services.search.retrieval import first_trip, is_final, prepare, second_trip
from services.search.served import ServedVersions
from services.search.stored import stored_queries
from services.search.table import fuse
from services.search.trips import WHOLE, Trips
from services.settings import Settings

_ENCODING = {True: 0.5, False: 0.8}
"""Share of the time that query vectors may take, by whether something answers without them."""
LAST_WAIT_MS = 10.0
"""For the hits' sources when the deadline has passed already: a node that has time answers within it."""


@dataclass(frozen=True)
class Engine:
    """Searches the served index of collections. Belongs to one event loop; safe for many requests at once.

    Attributes:
        client: Whose rights decide what is read; `dataclasses.replace(engine, client=…)` for a caller's own.
        settings: For names and parallel requests.
        models: Encoders and cross-encoders.
        served: What is served.
        pace: How long steps take here.
    """

    client: AsyncElasticsearch
    settings: Settings
    models: Models
    served: ServedVersions
    pace: Pace = field(default_factory=Pace)

    async def search(
        self, collection: str, request: SearchRequest, deadline: Deadline | None = None
    ) -> SearchResult:
        """Answer one request.

        Args:
            collection: Whose served index answers.
            request: What is asked.
            deadline: From the receipt of the request; None: `budget_ms` from now.

        Raises:
            NotFound: nothing is served, or not what is asked; no such stored query.
            UsageError: an unknown filter field, fusion method or parameter.
            Unavailable: Elasticsearch is lost. Overloaded: it takes no more.
            Conflict, InputError: the only leg cannot be asked (another checkpoint, too many terms).
        """
        deadline = deadline or Deadline.after(request.budget_ms)
        watch = Watch()
        with watch.step("took"):
            version = await self.served.of(collection, deadline)
            try:
                found = await self._search(version, request, deadline, watch)
            except NotFound as error:
                if not _of_index(error):
                    raise
                # The version was removed since it was remembered: another one is served by now.
                self.served.forget(collection)
                version = await self.served.of(collection, deadline)
                found = await self._search(version, request, deadline, watch)
        return answer(collection, request, *found, watch.spent)

    async def resolved(self, request: SearchRequest, version: Version, deadline: Deadline) -> Ask:
        """The question that a request is to a version; what it means by name is looked up.

        What the store does not tell is left out, and one of the question's failures.

        Raises:
            NotFound: the version does not serve what is asked; no such stored query.
            UsageError: an unknown filter field, fusion method or parameter; no default reranker.
        """
        choice, lost = await self._choice(version.collection, request, deadline)
        filled = choice.applied(request) if choice else request
        if filled is not request:
            try:
                return replace(await self._resolved(filled, version, deadline, lost), chosen=True)
            except (NotFound, UsageError) as error:  # of an index that serves something else by now
                lost = [Failure.of("choice", error)]
        return await self._resolved(request, version, deadline, lost)

    async def _resolved(
        self, request: SearchRequest, version: Version, deadline: Deadline, lost: Sequence[Failure]
    ) -> Ask:
        stored = await stored_queries(self.client, self.settings, version, request.lookups, deadline)
        if request.lookup and not request.query:
            request = request.model_copy(update={"query": stored[request.lookup].text})
        ce, unranked = await self._cross_encoder(request, deadline)
        if unranked:
            request = request.model_copy(update={"rerank": None})
        ask = resolved(request, version, deadline, ce, stored)
        ask = replace(ask, failures=(*lost, *unranked))
        if not ask.fusion.needs_background or len(ask.legs) == 1:
            return ask
        return replace(ask, sample=await self.served.sample(version, deadline))

    async def rank(self, ask: Ask) -> Ranked:
        """One page of the answer to a resolved question.

        Raises:
            Unavailable: Elasticsearch is lost. Overloaded: it takes no more.
            AuthError: this client may not read the index.
            The error of the legs where all failed for their own fault. The node's own error, where there is
            one, is its `__cause__` (`ApiError`, or `services.search.failures.Refused` of an `_msearch` item).
        """
        return (await self.rank_many(ask, [ask.text]))[0]

    async def rank_many(self, ask: Ask, texts: Sequence[str]) -> list[Ranked]:
        """The same question for many texts, as `evaluate` asks: legs of all texts go together.

        Args:
            ask: As for `rank`; its own text does not count.
            texts: The queries.
        """
        if not texts:
            return []
        watch = Watch()
        trips = self._trips(ask)
        began = time.monotonic()
        last = self.pace.before_end(ask.deadline, fetch=False)
        deadline = last if is_final(ask) else self.pace.before_end(ask.deadline, fetch=True)
        with watch.step("encode"):
            share = _ENCODING[any(isinstance(leg, Lexical) for leg in ask.legs)]
            tools = Tools(self.served.client, ask.version or ask.index, self.models)
            ready, unready = await prepare(ask.legs, texts, tools, self.pace.for_encoding(deadline, share))
        with watch.step("legs"):
            found = await first_trip(ask, ready, len(texts), depth_for(ask), trips, deadline)
        if any(not isinstance(one.leg, Lexical) for one in ready):
            record = self.pace.legs.took if any(one.legs for one in found) else self.pace.legs.missed
            record(watch.spent["legs"])
        elif any(failure.reason == "timeout" for failure in unready):
            self.pace.legs.skipped()
        alive = self.pace.pulse.alive
        for one in found:
            if not one.legs and (error := nothing_left([*unready, *one.failures], alive=alive)):
                raise error
        with watch.step("scores"):
            if ask.fusion.needs_scores and len(ask.legs) > 1:
                await second_trip(ask.sample, found, trips, deadline, self.pace.scores)
        fused = [fuse(one.table, one.unmatched, ask.fusion, ask.params) for one in found]
        scored = [Head(sources=one.sources) for one in found]
        with watch.step("rerank"):
            if ask.rerank:
                scored = await heads(ask, texts, fused, trips, self.models, deadline, last)
        self.pace.ended(last, began)
        timing = Timing(**watch.spent)
        return [
            page(ask, order, head, [*ask.failures, *unready, *one.failures], timing)
            for one, order, head in zip(found, fused, scored, strict=True)
        ]

    async def sources(
        self, ask: Ask, ords: Sequence[int], known: Mapping[int, Source], fields: Sequence[str]
    ) -> tuple[Mapping[int, Source], Failure | None]:
        """The sources of hits, by ord: those that are known, and the others fetched.

        Some are missing, and a failure says why, where the node ran out of time, has too much to do, or a
        shard did not answer.

        Raises:
            Unavailable: Elasticsearch is lost, or has no hit where there are some.
        """
        wanted = [o for o in ords if o not in known]
        if not wanted:
            return known, None
        began, by = time.monotonic(), ask.deadline
        if by.timeout is not None:
            by = Deadline.after(max(by.left * 1000, LAST_WAIT_MS))
        [item] = await self._trips(ask).send([sources.body(wanted, fields)], by, len(wanted), WHOLE)
        took = (time.monotonic() - began) * 1000
        if isinstance(item, TooLate | Overloaded) and self.pace.pulse.alive:
            self.pace.fetch.missed(took)
            return known, Failure.of("fetch", item)
        if isinstance(item, TooLate):
            raise Unavailable(item.message, hint=SEE_STATUS)
        if isinstance(item, MsmError):
            raise item
        self.pace.fetch.took(took)
        found = {**known, **sources.by_ord(item)}
        lost = sum(o not in found for o in ords)
        if not lost:
            return found, None
        if lost == len(ords) and not item.get("timed_out"):
            raise Unavailable(f"{ask.index}: not one of {len(ords)} hits could be fetched", hint=SEE_STATUS)
        return found, Failure.partial("fetch", f"{lost} of {len(ords)} hits could not be fetched")

    # -- what the store knows ----------------------------------------------------------------------

    async def _choice(
        self, collection: str, request: SearchRequest, deadline: Deadline
    ) -> tuple[Choice | None, list[Failure]]:
        if not leaves_open(request):
            return None, []
        try:
            return await self.served.choice(collection, deadline), []
        except Exception as error:  # whatever is wrong with the store: the default is an answer
            return None, [Failure.of("choice", error)]

    async def _cross_encoder(self, request: SearchRequest, deadline: Deadline) -> tuple[str, list[Failure]]:
        """The cross-encoder that is meant where none is named."""
        if request.rerank is None or request.rerank.model:
            return "", []
        try:
            return await self.served.installed.cross_encoder(None, deadline), []
        except UsageError:
            raise
        except Exception as error:  # likewise: the fused order is an answer
            return "", [Failure.of("rerank", error)]

    # -- parts of `search` -------------------------------------------------------------------------

    async def _search(
        self, version: Version, request: SearchRequest, deadline: Deadline, watch: Watch
    ) -> tuple[Ask, Ranked, Mapping[int, Source], Failure | None]:
        ask = replace(await self.resolved(request, version, deadline), source=sources.PASSAGE)
        ranked = await self.rank(ask)
        with watch.step("fetch"):
            found, lost = await self.sources(ask, ranked.ords.tolist(), ranked.sources, sources.PASSAGE)
        return ask, ranked, found, lost

    def _trips(self, ask: Ask) -> Trips:
        return Trips(self.client, ask.index, self.settings.senders, self.pace.pulse)


def _of_index(error: NotFound) -> bool:
    """Whether it is the index that is not there."""
    cause = error.__cause__
    found: Any = cause.item.get("error") if isinstance(cause, Refused) else None
    return isinstance(found, dict) and found.get("type") == "index_not_found_exception"
