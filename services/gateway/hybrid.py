"""Answers a question to a collection: the caller's query is the lexical leg, the engine does the rest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from services.deadline import Deadline
from services.elastic import names
from services.elastic.terms import match_async
from services.elastic.versions import Version
from services.errors import MsmError, TooLate, Unavailable, UsageError
from services.gateway import page, question
from services.gateway.body import SearchBody
from services.gateway.native import bad, malformed, natural
from services.gateway.node import Node
from services.gateway.page import Matches, Source, Wanted
from services.gateway.params import Params
from services.search.ask import Ask, Ranked
from services.search.engine import LAST_WAIT_MS, Engine
from services.search.failures import SEE_STATUS, Failure
from services.search.legs import Lexical
from services.search.request import SearchRequest

Clause = dict[str, Any]
_OF_BODY = frozenset({"size", "from", "start"})


def requested(given: Any, body: SearchBody) -> SearchRequest:
    """The request that `ext.msmctl` makes of a search body.

    Args:
        given: What stands under `ext.msmctl`.
        body: The rest.

    Raises:
        Refused: it is none, or nothing tells the text.
    """
    if not isinstance(given, dict):
        raise malformed("[ext.msmctl] is an object; {} is enough")
    if beside := sorted(_OF_BODY & given.keys()):
        raise bad(f"[ext.msmctl] does not take [{beside[0]}]: [from] and [size] stand in the body")
    text = question.only_text(body.query)
    if text is None and not {"query", "lookup"} & given.keys():
        count = len(question.texts(body.query))
        raise bad(
            "[ext.msmctl] needs one text: [ext.msmctl.query], or exactly one match, multi_match, "
            f"query_string or simple_query_string in [query]; there are {count}"
        )
    said = {"query": text, **given} if text is not None else given
    try:
        return SearchRequest.parse({"explain": True, **said, "size": max(1, body.size), "from": body.start})
    except UsageError as error:
        raise bad(f"[ext.msmctl] {error.message}") from None


@dataclass(frozen=True)
class Hybrid:
    """One request under way.

    Attributes:
        engine: With a client that asks as the caller.
        node: As the caller.
        index: As the caller called it: an alias may filter, or be all that the caller may read.
        collection: Whose passages it holds.
        request: What `ext.msmctl` or the saved alias says.
        body: Of the search.
        params: Of the URL.
        deadline: For everything.
    """

    engine: Engine
    node: Node
    index: str
    collection: str
    request: SearchRequest
    body: SearchBody
    params: Params
    deadline: Deadline

    async def answer(self) -> tuple[Clause, Ranked]:
        """The answer in native shape but for `took`, and what it was made of.

        Hits that a caller with a budget would wait too long for are left out, and that is told.

        Raises:
            Refused: in the node's words where the node refused.
        """
        try:
            version = await self.engine.served.of(self.collection, self.deadline)
            ask = await self._ask(version)
            ranked = await self.engine.rank(replace(ask, filters=(*ask.filters, *self._post)))
            clause = await self._clause(ask)
        except MsmError as error:
            raise natural(error) from error
        pace, began = self.engine.pace, time.monotonic()
        try:
            with pace.pulse.asking():
                async with asyncio.timeout(self._patience):
                    answer = await self._page(ask, ranked, clause)
            pace.fetch.took((time.monotonic() - began) * 1000)
        except TimeoutError:
            pace.fetch.missed((time.monotonic() - began) * 1000)
            late = TooLate(f"reading the hits of {self.index}: no answer in time")
            if not pace.pulse.alive:
                raise natural(Unavailable(late.message, hint=SEE_STATUS)) from None
            answer, failure = page.nothing(len(ranked.fused.rows)), Failure.of("fetch", late)
            degraded, notes = (*ranked.degraded, str(failure)), (*ranked.notes, failure.note)
            ranked = replace(ranked, degraded=degraded, notes=notes)
        timed_out = any(entry.endswith(":timeout") for entry in ranked.degraded)
        return {"timed_out": timed_out, **answer}, ranked

    @property
    def _patience(self) -> float | None:
        """Seconds for the hits and what is counted; None where the caller set no limit."""
        limited = self.request.budget_ms is not None or self.body.timeout_ms is not None
        return max(self.deadline.left, LAST_WAIT_MS / 1000) if limited else None

    async def _page(self, ask: Ask, ranked: Ranked, clause: Clause) -> Clause:
        ords = ranked.ords.tolist()[: self.body.size]
        return await page.complete(
            self.node,
            [Wanted(o, float(ranked.scores[n]), self._why(ranked, n)) for n, o in enumerate(ords)],
            Source(
                {"index": self.index, **self.params.index},
                {"terms": {"ord": ords}},
                lambda hit: hit["sort"][0],
                {"sort": ["ord"]},
            ),
            Matches({"bool": {"must": [clause], "filter": list(ask.filters)}}),
            self.body,
            clause,
            _best(ranked),
            typed_keys=self.params.form.typed_keys,
        )

    @property
    def _post(self) -> list[Clause]:
        return [self.body.post_filter] if self.body.post_filter else []

    async def _ask(self, version: Version) -> Ask:
        """What is asked; its filters are those that count, without `post_filter`."""
        other = names.parse(self.engine.settings, self.index)
        if other is not None and self.index != version.passages:
            alias = names.passages_alias(self.engine.settings, self.collection)
            raise UsageError(
                f"{self.index} is not served", hint=f"search {alias}, which is {version.passages}"
            )
        ask = await self.engine.resolved(self.request, version, self.deadline)
        scored = self.body.query if question.scores(self.body.query) else None
        legs = tuple(
            replace(leg, clause=scored) if scored and isinstance(leg, Lexical) else leg for leg in ask.legs
        )
        filters = (*ask.filters, *question.conditions(self.body.query))
        return replace(ask, index=self.index, version=version.passages, legs=legs, filters=filters)

    async def _clause(self, ask: Ask) -> Clause:
        """The lexical leg's query, which counts and highlights; without that leg, the text's terms."""
        lexical = next((leg for leg in ask.legs if isinstance(leg, Lexical)), Lexical())
        if lexical.clause is not None:
            return lexical.clause
        return await match_async(self.engine.served.client, ask.version, ask.text, lexical.fields)

    def _why(self, ranked: Ranked, place: int) -> Mapping[str, Any] | None:
        if not self.request.explain:
            return None
        told = ranked.explain(place)
        return told | ({"degraded": list(ranked.degraded)} if ranked.degraded else {})


def _best(ranked: Ranked) -> float | None:
    """The highest score: of the page; before it, that of the fused ranking where nothing was reranked."""
    of_page = float(ranked.scores[0]) if len(ranked.scores) else None
    before = ranked.start and not ranked.reranked and len(ranked.fused.scores)
    return float(ranked.fused.scores[0]) if before else of_page
