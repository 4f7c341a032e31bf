"""Searches of ours at the node, in the caller's name: its credentials decide what is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from services.gateway import json_text
from services.gateway.headers import Raw, media_type, of_caller
from services.gateway.native import Refused, bad
from services.gateway.upstream import Upstream

Clause = dict[str, Any]
Search = tuple[Clause, Clause]
"""Header line and body of one search of an `_msearch`."""


@dataclass(frozen=True)
class Node:
    """The node, asked as the caller.

    Attributes:
        upstream: Connections to it.
        caller: Who asks, and under which id: headers.
        kinds: Media types of what is asked and answered: headers.
    """

    upstream: Upstream
    caller: Mapping[str, str]
    kinds: Mapping[str, str]

    @classmethod
    def as_caller(cls, upstream: Upstream, headers: Raw) -> Node:
        """The node for whoever sent these headers.

        Raises:
            Refused: they are not UTF-8.
        """
        try:
            caller = of_caller(headers)
        except UnicodeDecodeError:
            raise bad("a header is not UTF-8") from None
        kinds = {"content-type": media_type(headers, "x-ndjson"), "accept": media_type(headers)}
        return cls(upstream, caller, kinds)

    @property
    def headers(self) -> Mapping[str, str]:
        """All of them."""
        return {**self.caller, **self.kinds}

    async def msearch(self, searches: Sequence[Search], *, typed_keys: bool = False) -> list[Clause]:
        """The answers, in order.

        Raises:
            Refused: the node refused all of them, or one: then in the words of the first refusal; or they
                cannot be written.
        """
        body = written(searches)
        query = b"typed_keys=true" if typed_keys else b""
        status, parsed = await self.forward(b"/_msearch", query, body)
        if status != 200:
            raise Refused(status, parsed)
        items: list[Clause] = parsed["responses"]
        for item in items:
            if "error" in item:
                raise Refused(int(item.get("status", 500)), item)
        return items

    async def forward(self, path: bytes, query: bytes, body: bytes) -> tuple[int, Any]:
        """A body as it is: status and parsed answer.

        Raises:
            Refused: the node cannot be reached, or what answers there is no JSON.
        """
        status, answer = await self.upstream.call(path, query, self.headers, body)
        try:
            return status, json_text.read(answer)
        except ValueError:
            raise Refused(502, {"error": answer.decode("utf-8", "replace")[:500], "status": 502}) from None


def written(searches: Sequence[Search]) -> bytes:
    """Searches as `_msearch` takes them.

    Raises:
        Refused: they are nested too deep, or hold a number of more than 64 bits.
    """
    try:
        return b"".join(orjson.dumps(line) + b"\n" for search in searches for line in search)
    except orjson.JSONEncodeError as error:
        raise bad(f"the search cannot be passed on to the node: {error}") from None
