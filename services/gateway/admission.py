"""Whether the node lets a caller in, asked before anything of ours is done or told for it.

What the engine looks up (served versions, field names, models) it looks up under a user of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping
from typing import Any

import orjson

from services.gateway.native import Refused, unreachable
from services.gateway.node import Node, Search, written

Clause = dict[str, Any]

FRESH = 5.0
"""Seconds that the node's yes counts."""
_PATIENCE = 5.0
"""Seconds for the node's answer; none of a search's other steps has begun then."""
_MOST = 4_096
"""Callers and indices that are remembered."""
_NOWHERE = {"index": "*,-*"}
"""No index: what it costs the node is to find out who asks."""
_OF_ONE_REQUEST = frozenset(
    {"x-opaque-id", "x-request-id", "traceparent", "tracestate", "user-agent", "x-elastic-client-meta"}
)
"""Headers that do not say who asks. Any other may: the node can stand behind a proxy that goes by it."""


class Admission:
    """Remembers for some seconds whom the node let in. Belongs to one event loop."""

    def __init__(self) -> None:
        self._until: dict[bytes, float] = {}

    async def check(self, node: Node, header: Clause, body: Clause) -> None:
        """Let a search through that the node would answer; what was refused is asked again each time.

        Args:
            node: As the caller.
            header: Of the search, as `_msearch` has it: the index.
            body: What belongs to it: a `pit`.

        Raises:
            Refused: the node refuses a search without hits, in its own words, or does not answer in time.
        """
        search = header, {**body, "query": {"match_none": {}}, "size": 0, "track_total_hits": False}
        key = _key(node.caller, search)
        if self._until.get(key, 0.0) > time.monotonic():
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                await node.msearch([search])
        except TimeoutError:
            raise unreachable(f"no answer within {_PATIENCE:g} seconds") from None
        self._remember(key)

    async def knows(self, node: Node) -> bool:
        """Whether the node knows who asks, wherever they may search.

        Raises:
            Refused: it cannot be asked now.
        """
        try:
            await self.check(node, _NOWHERE, {})
        except Refused as refused:
            if refused.status >= 429:
                raise
            return refused.status != 401
        return True

    def _remember(self, key: bytes) -> None:
        now = time.monotonic()
        self._until.pop(key, None)
        while self._until and (len(self._until) >= _MOST or next(iter(self._until.values())) <= now):
            del self._until[next(iter(self._until))]  # the oldest stands first
        self._until[key] = now + FRESH


def _key(caller: Mapping[str, str], search: Search) -> bytes:
    """Of who asks for what: credentials themselves are not kept."""
    who = sorted((name, value) for name, value in caller.items() if name not in _OF_ONE_REQUEST)
    return hashlib.blake2b(orjson.dumps(who) + written([search]), digest_size=16).digest()
