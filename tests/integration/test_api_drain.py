"""SIGTERM under load: every request is answered or its connection refused, none is cut."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from typing import Any

import aiohttp
import pytest

from services.stack.endpoints import endpoints
from services.stack.status import status
from tests.conftest import Stack
from tests.integration.api_kit import Api
from tests.integration.conftest import Sample

CLIENTS = 12
ROUNDS = 2


class Load:
    """Clients in a loop; half keep their connection, half open one per request."""

    def __init__(self, api: Api, key: str) -> None:
        self._url = f"{api.url}/v1/collections/{api.collection}/search"
        self._headers = {"Authorization": f"Bearer {key}"}
        self.outcomes: Counter[str] = Counter()
        self._stopping = False

    async def client(self, n: int) -> None:
        connector = aiohttp.TCPConnector(force_close=n % 2 == 0)
        async with aiohttp.ClientSession(connector=connector, headers=self._headers) as session:
            while not self._stopping:
                outcome = await self._ask(session, n)
                self.outcomes[outcome] += 1
                if outcome == "refused":
                    await asyncio.sleep(0.05)

    async def _ask(self, session: aiohttp.ClientSession, n: int) -> str:
        body = {"query": f"why is the sea salty {n}", "mode": "bm25"}
        try:
            async with session.post(self._url, json=body) as answer:
                found: dict[str, Any] = await answer.json()
                return "answered" if answer.status == 200 and found["hits"] else f"status {answer.status}"
        except aiohttp.ClientConnectorError:
            return "refused"
        except aiohttp.ClientError as error:
            return f"cut: {type(error).__name__}: {error}"

    def stop(self) -> None:
        self._stopping = True


@pytest.mark.slow
def test_no_request_is_lost_when_the_service_is_restarted(stack: Stack, sample: Sample) -> None:
    api = Api(stack.settings, endpoints(stack.settings).api_url, sample.name)
    load = Load(api, api.key("search"))

    def pid() -> int | None:
        found = next(one for one in status(stack.settings) if one.name == "api")
        return found.pid if found.ready else None

    async def answered(more: int) -> None:
        """Wait until so many more were answered."""
        wanted, limit = load.outcomes["answered"] + more, time.monotonic() + 60
        while load.outcomes["answered"] < wanted:
            assert time.monotonic() < limit, load.outcomes
            await asyncio.sleep(0.05)

    async def course() -> None:
        clients = [asyncio.create_task(load.client(n)) for n in range(CLIENTS)]
        for _ in range(ROUNDS):
            await answered(60)
            before = await asyncio.to_thread(pid)
            assert before is not None
            os.kill(before, signal.SIGTERM)
            limit = time.monotonic() + 60
            while (now := await asyncio.to_thread(pid)) in (None, before):
                assert time.monotonic() < limit, load.outcomes
                await asyncio.sleep(0.1)
            await answered(CLIENTS)
            assert now != before
        load.stop()
        await asyncio.gather(*clients)

    asyncio.run(course())
    assert set(load.outcomes) == {"answered", "refused"}, load.outcomes
