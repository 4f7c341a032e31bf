"""Bodies that may be ours: looked at, and answered in the form of the path they came by."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from services.gateway import multi, page, params
from services.gateway.claim import Claim
from services.gateway.exchange import Exchange
from services.gateway.multi import Line
from services.gateway.native import Answer, Refused, bad
from services.gateway.node import Node
from services.gateway.params import Params
from services.gateway.reading import weight
from services.gateway.searches import Asked, Searches
from services.gateway.target import Target
from services.gateway.upstream import Upstream

Clause = dict[str, Any]
Item = tuple[Clause, tuple[str, ...]]

_AT_ONCE = 8
"""Searches of one `_msearch` that are answered at a time."""
_KEPT_MS = 432_000_000
"""How long the node would keep an asynchronous search: five days."""


class Looking:
    """Finds searches of ours and answers them.

    Args:
        searches: Answers one.
        upstream: The node.
    """

    def __init__(self, searches: Searches, upstream: Upstream) -> None:
        self._searches = searches
        self._upstream = upstream

    async def knows(self, exchange: Exchange) -> bool:
        """Whether the node knows who asks. Raises: as `Admission.knows`."""
        return await self._searches.admission.knows(Node.as_caller(self._upstream, exchange.headers))

    async def answer(self, exchange: Exchange, target: Target, body: bytes, claim: Claim) -> Answer | None:
        """The answer; None where the node shall have the request as it came.

        Args:
            exchange: The request.
            target: Where it goes.
            body: Its body, unpacked.
            claim: For what is made of it.

        Raises:
            Refused: it is ours, and cannot be answered.
            Stranger, Overloaded: as `Claim.take`.
        """
        received, began = time.monotonic(), time.time()
        if not self._searches.may_concern(target.index, body):
            return None
        try:
            said = params.parse(exchange.query)
        except Refused:  # the node says it, whoever the search is for
            return None
        if target.kind == "_msearch":
            return await self._many(exchange, target, body, said, received, claim)
        await claim.take(weight(body))
        try:
            given = orjson.loads(body or b"{}")
        except orjson.JSONDecodeError:
            return None
        node = Node.as_caller(self._upstream, exchange.headers)
        found = await self._searches.answer(Asked(node, target.index, given, said, received))
        if found is None:
            return None
        answer = page.formed(found.body, said.form)
        if target.kind == "_async_search":
            answer = _completed(answer, began)
        return Answer(200, page.only(answer, said.form), found.degraded)

    # -- _msearch ----------------------------------------------------------------------------------

    async def _many(
        self, exchange: Exchange, target: Target, body: bytes, said: Params, received: float, claim: Claim
    ) -> Answer | None:
        lines = multi.split(body) or []
        mine = await self._mine(lines, target, claim)
        if not mine:
            return None
        node = Node.as_caller(self._upstream, exchange.headers)
        places = asyncio.Semaphore(_AT_ONCE)

        async def one(line: Line) -> Item | None:
            async with places:
                return await self._line(node, line, said, received)

        answers = await asyncio.gather(*map(one, mine.values()))
        found = {n: answer for n, answer in zip(mine, answers, strict=True) if answer}
        if not found:
            return None
        left = [raw for n, raw in enumerate(lines) if n not in found]
        others = await self._others(exchange, node, left) if left else iter(())
        responses = [found[n][0] if n in found else next(others) for n in range(len(lines))]
        warnings = tuple(dict.fromkeys(entry for _, degraded in found.values() for entry in degraded))
        whole = {"took": round((time.monotonic() - received) * 1000), "responses": responses}
        return Answer(200, page.only(whole, said.form), warnings)

    async def _mine(self, lines: Sequence[bytes], target: Target, claim: Claim) -> dict[int, Line]:
        """The searches of ours, by their places; no other is parsed, and none for somebody unknown.

        Raises:
            Refused: there are too many. Stranger, Overloaded: as `Claim.take`.
        """
        mine = {}
        for n, raw in enumerate(lines):
            if not self._searches.may_concern(target.index, raw):
                continue
            await claim.known()
            await claim.take(weight(raw))
            line = multi.parsed(raw, target.index)
            if line and self._searches.concern(line.index, line.body):
                mine[n] = line
        if len(mine) > multi.MOST:
            raise bad(
                f"[_msearch] holds more than {multi.MOST} searches with [ext.msmctl] or [retriever], "
                "or on aliases with a saved mode"
            )
        return mine

    async def _line(self, node: Node, line: Line, said: Params, received: float) -> Item | None:
        """An item of the answer, and what is missing from it."""
        header = {key: value for key, value in line.header.items() if key not in ("index", "indices")}
        own = replace(said, index={**said.index, **header})
        try:
            found = await self._searches.answer(Asked(node, line.index, line.body, own, received))
        except Refused as refused:
            return {**refused.body, "status": refused.status}, ()
        if found is None:
            return None
        return {**page.formed(found.body, said.form), "status": 200}, found.degraded

    async def _others(self, exchange: Exchange, node: Node, left: list[bytes]) -> Any:
        """The node's items, in order."""
        query = b"&".join(
            part
            for part in exchange.query.split(b"&")
            if part.partition(b"=")[0] not in (b"filter_path", b"format", b"pretty")
        )
        status, answer = await node.forward(exchange.path, query, b"".join(left))
        if status != 200:
            raise Refused(status, answer)
        return iter(answer["responses"])


def _completed(answer: Clause, began: float) -> Clause:
    """A search that was never asynchronous, as `_async_search` tells of one that is over; nothing is kept."""
    start, end = round(began * 1000), round(time.time() * 1000)
    return {
        "is_partial": False,
        "is_running": False,
        "start_time_in_millis": start,
        "expiration_time_in_millis": start + _KEPT_MS,
        "completion_time_in_millis": end,
        "response": answer,
    }
