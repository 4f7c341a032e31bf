"""Which searches are ours, and their answers; None for those that the node shall have as they came."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from elasticsearch import AsyncElasticsearch

from services.deadline import Deadline
from services.gateway import body, hybrid, question, retriever
from services.gateway.admission import Admission
from services.gateway.body import SearchBody
from services.gateway.hybrid import Hybrid
from services.gateway.native import Refused, bad
from services.gateway.node import Node
from services.gateway.params import Params
from services.gateway.record import of_failure, of_hybrid, of_retrieval
from services.gateway.retrieving import OWN, Retrieval
from services.gateway.saved import Aliases, Saved
from services.inference.models import ModelService
from services.search.engine import Engine
from services.search.request import SearchRequest
from services.searches.record import SearchRecord

Clause = dict[str, Any]

LONGEST_MS = 20_000.0
"""A search without a budget of its own waits no longer for models."""
EXT = "ext.msmctl"
_PATTERN = frozenset("*?,<>")


@dataclass(frozen=True)
class Asked:
    """One search: a `_search`, or a line of an `_msearch`.

    Attributes:
        node: As the caller.
        index: None: all.
        body: Parsed.
        params: Of the URL, with what a header line adds.
        received: Moment of receipt, monotonic.
    """

    node: Node
    index: str | None
    body: Any
    params: Params
    received: float

    @property
    def header(self) -> Clause:
        """The header line of searches where it goes: the index, and what the URL says of it."""
        return {**({"index": self.index} if self.index else {}), **self.params.index}

    def deadline(self, *limits: float | None) -> Deadline:
        """The earliest of the limits, in milliseconds from the receipt."""
        return Deadline(self.received + min(limit for limit in (*limits, LONGEST_MS) if limit) / 1000)


@dataclass(frozen=True)
class Answered:
    """An answer in native shape, and what is missing from it."""

    body: Clause
    degraded: tuple[str, ...]


Way = Callable[[Asked, Clause], Awaitable[Answered | None]]


@dataclass(frozen=True)
class Searches:
    """Answers searches.

    Attributes:
        engine: Its own client reads metadata only.
        client: Without credentials: the caller's are put in.
        models: Encoders and cross-encoders.
        aliases: Saved ones.
        record: Takes what a search leaves behind.
        admission: Knows whom the node lets in.
    """

    engine: Engine
    client: AsyncElasticsearch
    models: ModelService
    aliases: Aliases
    record: Callable[[SearchRecord], None]
    admission: Admission = field(default_factory=Admission)

    def may_concern(self, index: str | None, raw: bytes) -> bool:
        """A cheap look at a body that is not parsed yet; False: certainly none of ours."""
        return (
            b'"msmctl"' in raw
            or b'"retriever"' in raw
            or self.aliases.get(index) is not None
            or self.aliases.named_in(raw)
        )

    def concern(self, index: str | None, given: Any) -> bool:
        """Whether a parsed body is to be answered here; on a saved alias, it may yet be the node's."""
        return self._way(index, given) is not None

    async def answer(self, asked: Asked) -> Answered | None:
        """The answer to a search of ours.

        Raises:
            Refused: it is ours, and cannot be answered.
        """
        way = self._way(asked.index, asked.body)
        return await way(asked, asked.body) if way else None

    def _way(self, index: str | None, given: Any) -> Way | None:
        if not isinstance(given, dict):
            return None
        ext = given.get("ext")
        if isinstance(ext, dict) and "msmctl" in ext:
            return self._by_ext
        if retriever.is_ours(given.get("retriever")):
            return self._by_retriever
        saved = self.aliases.get(index)
        return partial(self._by_alias, saved) if saved else None

    # -- the three ways to ask ---------------------------------------------------------------------

    async def _by_ext(self, asked: Asked, given: Clause) -> Answered:
        ext = given["ext"]
        if others := sorted(ext.keys() - {"msmctl"}):
            raise bad(f"[{EXT}] cannot be used with [ext.{others[0]}]")
        index = asked.index or ""
        saved = self.aliases.get(index)
        one = not _PATTERN & set(index)
        collection = saved.collection if saved else self.engine.served.collection_of(index) if one else None
        if collection is None:
            body.read({key: value for key, value in given.items() if key != "ext"}, asked.params, EXT)
            alias = self.engine.settings.index("COLLECTION")
            raise bad(
                f"[{EXT}] searches one index of msmctl, and [{index or '_all'}] is none: "
                f"name the alias of a collection, such as [{alias}]"
            )
        await self.admission.check(asked.node, {"index": index}, {})
        read = body.read({key: value for key, value in given.items() if key != "ext"}, asked.params, EXT)
        request = hybrid.requested(ext["msmctl"], read)
        return await self._hybrid(asked, index, collection, read, request)

    async def _by_alias(self, saved: Saved, asked: Asked, given: Clause) -> Answered | None:
        """None where the search asks no question, or wants what only the node can do."""
        try:
            read = body.read(given, asked.params, f"gateway set {saved.alias} {saved.mode}")
            query = question.lifted(read.query)
            if not read.size or question.only_text(query) is None:
                return None
            request = hybrid.requested(saved.request(), replace(read, query=query))
        except Refused:
            return None
        await self.admission.check(asked.node, {"index": saved.alias}, {})
        return await self._hybrid(asked, saved.alias, saved.collection, replace(read, query=query), request)

    async def _hybrid(
        self, asked: Asked, index: str, collection: str, read: SearchBody, request: SearchRequest
    ) -> Answered:
        deadline = asked.deadline(request.budget_ms, read.timeout_ms)
        search = Hybrid(
            self._as(asked.node), asked.node, index, collection, request, read, asked.params, deadline
        )
        with self._failure_recorded(asked, search):
            answer, ranked = await search.answer()
        took = self._took(asked)
        self.record(of_hybrid(search, ranked, answer, took))
        return Answered({"took": round(took), **answer}, ranked.degraded)

    async def _by_retriever(self, asked: Asked, given: Clause) -> Answered:
        pit = {key: value for key, value in given.items() if key == "pit"}
        await self.admission.check(asked.node, asked.header, pit)
        read = body.read(given, asked.params, "retriever", OWN)
        search = Retrieval(
            asked.node, retriever.read(read.own["retriever"]), self.models, self.engine.served, asked.index,
            asked.header, read, asked.params, asked.deadline(read.timeout_ms),
        )  # fmt: skip
        with self._failure_recorded(asked, search):
            answer = await search.answer()
        took = self._took(asked)
        self.record(of_retrieval(search, answer, took))
        return Answered({"took": round(took), **answer}, tuple(str(failure) for failure in search.failures))

    @contextmanager
    def _failure_recorded(self, asked: Asked, search: Hybrid | Retrieval) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.record(of_failure(search, error, self._took(asked)))
            raise

    # -- in whose name -----------------------------------------------------------------------------

    def _as(self, node: Node) -> Engine:
        return replace(self.engine, client=self.client.options(headers=dict(node.caller)))

    def _took(self, asked: Asked) -> float:
        return (time.monotonic() - asked.received) * 1000
