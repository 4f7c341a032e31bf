"""How quick are searches, next to the plain sequence of two searches and `CrossEncoder.predict`?

    MSM_HOME=HOME python benchmarks/search.py --collection squad --split test --ce ce-squad
    MSM_HOME=HOME python benchmarks/search.py --collection squad --split test --ce ce-squad --only budget

On the running stack of MSM_HOME. Every arm is asked the same questions by 1, 4 and 16 clients, each of which
waits for its answer before it asks again, for so many seconds; arms take turns. `bm25 alone` asks the node
itself. `naive` encodes, asks the node twice and lets `CrossEncoder.predict` score fifty pairs, each request
in a thread of its own in this process with the same threads and precision as the models process.
`budget` asks for reranking of a window that cannot be done in time, by 16 clients, with the models process as
it is and stopped (SIGSTOP): p99 must be the budget and 15 ms at most.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from services.collections.collection import Collection
from services.elastic import names
from services.settings import Settings, load
from services.stack.endpoints import endpoints
from services.stack.secrets import password
from services.store import Store

WINDOW, SIZE, BUDGET_MS = 50, 10, 400
Ask = Callable[[str], Awaitable[Any]]


def msmctl(*arguments: str) -> Any:
    """What a command prints as JSON."""
    command = [Path(sys.executable).with_name("msmctl"), *arguments, "--json"]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


class Arms:
    """The ways to answer a question."""

    def __init__(
        self, session: aiohttp.ClientSession, settings: Settings, collection: str, ce: str, key: str
    ) -> None:
        where = endpoints(settings)
        self._session = session
        self._api = f"{where.api_url}/v1/collections/{collection}/search"
        self._node = f"{where.es_url}/{names.passages_alias(settings, collection)}/_search"
        self._bearer = {"authorization": f"Bearer {key}"}
        secret = base64.b64encode(f"admin:{password(settings, 'admin')}".encode()).decode()
        self._basic = {"authorization": f"Basic {secret}"}
        self._rerank = {"model": ce, "window": WINDOW}
        self._settings, self._collection, self._ce = settings, collection, ce
        self._threads = ThreadPoolExecutor(16)
        self.seen: list[tuple[float, int, list[str]]] = []

    async def ask(self, question: str, **more: Any) -> Any:
        """The API."""
        body = {"query": question, "size": SIZE, **more}
        async with self._session.post(self._api, json=body, headers=self._bearer) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def hasty(self, question: str, rerank: Any) -> None:
        """With a budget; what the answer tells of itself is kept in `seen`."""
        found = await self.ask(question, mode="hybrid", rerank=rerank, budget_ms=BUDGET_MS)
        self.seen.append((found["took_ms"], len(found["hits"]), found["degraded"]))

    async def bm25(self, question: str) -> Any:
        """BM25 through the API."""
        return await self.ask(question, mode="bm25")

    async def hybrid(self, question: str) -> Any:
        """Hybrid through the API."""
        return await self.ask(question, mode="hybrid")

    async def dense(self, question: str) -> Any:
        """One dense leg through the API."""
        return await self.ask(question, mode="dense")

    async def rerank(self, question: str) -> Any:
        """Hybrid, the best fifty reranked."""
        return await self.ask(question, mode="hybrid", rerank=self._rerank)

    async def shallow(self, question: str) -> Any:
        """More than can be reranked in the budget."""
        await self.hasty(question, self._rerank)

    async def deep(self, question: str) -> Any:
        """Ten times as many, for which the legs bring ten times as many too."""
        await self.hasty(question, self._rerank | {"window": 10 * WINDOW})

    async def plain(self, question: str) -> Any:
        """The node itself, BM25."""
        body = {"query": {"match": {"text": question}}, "size": SIZE}
        async with self._session.post(self._node, json=body, headers=self._basic) as answer:
            return await answer.json()

    def load_naive(self, system: str) -> Ask:
        """Two searches, then `CrossEncoder.predict`."""
        import torch
        from elasticsearch import Elasticsearch
        from sentence_transformers import CrossEncoder, SentenceTransformer

        from services.cross_encoders.models import required as required_ce
        from services.cross_encoders.registry import CrossEncoders
        from services.elastic.versions import version
        from services.systems.models import required
        from services.systems.registry import Registry

        store = Store(self._settings.store_url)
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        known, ce = required(store, Registry.load(store).get(system)), CrossEncoders.load(store).get(self._ce)
        encoder = SentenceTransformer(str(known.local_folder(store)))
        scorer = CrossEncoder(str(required_ce(store, ce).local_folder(store)))
        node = Elasticsearch(
            endpoints(self._settings).es_url, basic_auth=("admin", password(self._settings, "admin"))
        )
        index = version(node, self._settings, self._collection)
        field = next(one.field for one in index.meta.systems.values() if one.name == system)

        def answer(question: str) -> list[tuple[float, str]]:
            vector = encoder.encode(question, show_progress_bar=False).tolist()
            query = {"match": {"text": question}}
            first = node.search(index=index.passages, query=query, size=WINDOW, source_includes=["text"])
            knn = {"field": field, "query_vector": vector, "k": WINDOW, "num_candidates": 200}
            second = node.search(index=index.passages, knn=knn, size=WINDOW, source_includes=["text"])
            texts = dict.fromkeys(
                hit["_source"]["text"] for both in (first, second) for hit in both["hits"]["hits"]
            )
            head = list(texts)[:WINDOW]
            scores = scorer.predict([(question, text) for text in head], show_progress_bar=False)
            return sorted(zip(scores.tolist(), head, strict=True), reverse=True)[:SIZE]

        async def ask(question: str) -> Any:
            return await asyncio.get_running_loop().run_in_executor(self._threads, answer, question)

        return ask


async def measured(ask: Ask, questions: Iterator[str], clients: int, seconds: float) -> list[float]:
    """Milliseconds of every request that so many clients made in that time."""
    until, took = time.monotonic() + seconds, []

    async def client() -> None:
        while time.monotonic() < until:
            began = time.perf_counter()
            await ask(next(questions))
            took.append(1000 * (time.perf_counter() - began))

    await asyncio.gather(*(client() for _ in range(clients)))
    return took


def line(name: str, clients: int, took: list[float], seconds: float) -> str:
    """A row of the table."""
    p50, p95, p99 = np.percentile(took, [50, 95, 99])
    return f"| {name} | {clients} | {p50:.1f} | {p95:.1f} | {p99:.1f} | {len(took) / seconds:.1f} |"


async def compare(arms: Arms, naive: Ask, questions: Iterator[str], seconds: float) -> None:
    """All arms, by 1, 4 and 16 clients."""
    ways: dict[str, Ask] = {
        "bm25 alone": arms.plain,
        "bm25": arms.bm25,
        "dense": arms.dense,
        "hybrid": arms.hybrid,
        "hybrid + rerank 50": arms.rerank,
        "naive": naive,
    }
    for ask in ways.values():
        for _ in range(3):
            await ask(next(questions))
    rates: dict[tuple[str, int], float] = {}
    print("| arm | clients | p50 ms | p95 | p99 | requests/s |\n|---|---|---|---|---|---|")
    for clients in (1, 4, 16):
        for name, ask in ways.items():
            began = time.monotonic()
            took = await measured(ask, questions, clients, seconds)
            spent = time.monotonic() - began
            rates[name, clients] = len(took) / spent
            print(line(name, clients, took, spent), flush=True)
    ratio = rates["hybrid + rerank 50", 16] / rates["naive", 16]
    print(f"\nrerank throughput at 16 clients: {ratio:.2f} x naive (bar 1.4)")


async def budget(arms: Arms, questions: Iterator[str], seconds: float) -> None:
    """What a budget is worth under overload, and with the models process stopped.

    Beside what clients see: the p99 that answers themselves tell, answers without hits, and what is missing.
    """
    heading = f"| budget of {BUDGET_MS} ms | clients | p50 ms | p95 | p99 | requests/s | told p99 | empty |"
    print(f"{heading}\n|---|---|---|---|---|---|---|---|")
    missing = {}

    async def row(name: str, ask: Ask) -> None:
        await measured(ask, questions, 16, 2)
        arms.seen.clear()
        took = await measured(ask, questions, 16, seconds)
        told = np.percentile([told for told, _, _ in arms.seen], 99)
        empty = sum(not hits for _, hits, _ in arms.seen)
        print(f"{line(name, 16, took, seconds)} {told:,.0f} | {empty} |", flush=True)
        missing[name] = Counter(entry for _, _, degraded in arms.seen for entry in degraded)

    await row(f"overload, window {WINDOW}", arms.shallow)
    await row(f"overload, window {10 * WINDOW}", arms.deep)
    with stopped("models"):
        await row("models stopped", arms.shallow)
    for name, entries in missing.items():
        print(f"\n{name}: " + ", ".join(f"{entry} {count}" for entry, count in entries.most_common()))


@contextmanager
def stopped(name: str) -> Iterator[None]:
    """A process of the stack, stopped."""
    pid = next(one["pid"] for one in msmctl("status")["processes"] if one["name"] == name)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def hybrid_bar(arms: Arms, questions: Iterator[str], count: int) -> None:
    """Hybrid against its slower leg at one client, question by question, and the second trip's time."""
    took: dict[str, list[float]] = {"bm25": [], "dense": [], "hybrid": []}
    trips = []
    for _ in range(count):
        question = next(questions)
        for name in took:
            began = time.perf_counter()
            answer = await getattr(arms, name)(question)
            took[name].append(1000 * (time.perf_counter() - began))
        trips.append(answer["timing"]["scores"])
    p50 = {name: statistics.median(values) for name, values in took.items()}
    bar = 1.5 * max(p50["bm25"], p50["dense"]) + statistics.median(trips)
    print(
        f"\nhybrid p50 {p50['hybrid']:.1f} ms; bm25 {p50['bm25']:.1f}, dense {p50['dense']:.1f}, "
        f"second trip {statistics.median(trips):.1f}; bar {bar:.1f} ms"
    )


async def run(given: argparse.Namespace) -> None:
    """All that was asked for."""
    settings = load()
    collection = Collection.open(Store(settings.store_url), given.collection)
    questions = cycle(collection.queries(given.split).texts[:1000])
    key = msmctl("api", "keys", "create", "--scope", "search", "--name", "benchmark")
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as session:
            arms = Arms(session, settings, given.collection, given.ce, key["key"])
            if given.only in (None, "compare"):
                await compare(arms, arms.load_naive(given.system), questions, given.seconds)
                await hybrid_bar(arms, questions, 100)
            if given.only in (None, "budget"):
                await budget(arms, questions, given.seconds)
    finally:
        msmctl("api", "keys", "revoke", key["id"])


def main() -> None:
    """Read the arguments, measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--collection", default="")
    parser.add_argument("--split", default="test")
    parser.add_argument("--ce", default="")
    parser.add_argument("--system", default="all-MiniLM-L6-v2")
    parser.add_argument("--seconds", type=float, default=15, help="per arm and number of clients")
    parser.add_argument("--only", choices=["compare", "budget"])
    given = parser.parse_args()
    if not given.collection or not given.ce:
        print("not run: it needs a running stack with an indexed collection and a cross-encoder (--help)")
        return
    asyncio.run(run(given))


if __name__ == "__main__":
    main()
