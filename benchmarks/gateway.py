"""What does the gateway add to a search that it passes through?

    python benchmarks/gateway.py --passages 30000 --searches 2000
    python benchmarks/gateway.py --quick

Works on the stack of MSM_HOME: makes an index of its own with words drawn from a fixed vocabulary, asks the
node and the gateway in turns, one search each, from the same client and connection settings, and prints
milliseconds at p50, p95, p99 and what is added. `looked at` is the same search with a body that has to be
parsed because it mentions a retriever; `_msearch` sends ten searches at once.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import random
import time
from collections.abc import Iterator

import aiohttp
import numpy as np
import orjson

from services.settings import Settings, load
from services.stack.endpoints import endpoints, gateway_url
from services.stack.secrets import password

INDEX = "msm-bench-gateway"
VOCABULARY = 5_000


def texts(passages: int) -> Iterator[str]:
    """Texts of sixty words, common ones more often than rare ones."""
    draw = np.random.default_rng(0)
    for _ in range(passages):
        yield " ".join(f"w{n}" for n in np.minimum(draw.zipf(1.3, 60), VOCABULARY))


def questions(count: int) -> list[str]:
    """Questions of five words."""
    draw = random.Random(1)
    return [" ".join(f"w{draw.randint(10, VOCABULARY)}" for _ in range(5)) for _ in range(count)]


async def load_index(session: aiohttp.ClientSession, url: str, passages: int) -> None:
    """Make the index anew."""
    async with session.delete(f"{url}/{INDEX}"):
        pass
    settings = {"settings": {"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": -1}}
    async with session.put(f"{url}/{INDEX}", json=settings) as answer:
        answer.raise_for_status()
    lines: list[bytes] = []
    for text in texts(passages):
        lines += [b'{"index":{}}', orjson.dumps({"text": text})]
        if len(lines) >= 10_000:
            await bulk(session, url, lines)
            lines = []
    await bulk(session, url, lines)
    for step in ("_forcemerge?max_num_segments=1", "_refresh"):
        async with session.post(f"{url}/{INDEX}/{step}") as answer:
            answer.raise_for_status()


async def bulk(session: aiohttp.ClientSession, url: str, lines: list[bytes]) -> None:
    body = b"\n".join([*lines, b""])
    kind = {"Content-Type": "application/x-ndjson"}
    if lines:
        async with session.post(f"{url}/{INDEX}/_bulk", data=body, headers=kind) as answer:
            answer.raise_for_status()


def bodies(kind: str, asked: list[str]) -> list[tuple[str, bytes]]:
    """Path and body of every search of an arm."""
    searches = [orjson.dumps({"query": {"match": {"text": text}}, "size": 10}) for text in asked]
    if kind == "_search":
        return [(f"{INDEX}/_search", body) for body in searches]
    if kind == "looked at":
        named = [
            body.replace(b'"match":', b'"match":', 1)[:-1] + b',"stats":["retriever"]}' for body in searches
        ]
        return [(f"{INDEX}/_search", body) for body in named]
    ten = [
        b"".join(b"{}\n" + body + b"\n" for body in searches[n : n + 10]) for n in range(0, len(searches), 10)
    ]
    return [(f"{INDEX}/_msearch", body) for body in ten]


async def one(session: aiohttp.ClientSession, url: str, body: bytes) -> float:
    began = time.perf_counter()
    async with session.post(url, data=body) as answer:
        await answer.read()
        answer.raise_for_status()
    return (time.perf_counter() - began) * 1000


async def in_turns(
    session: aiohttp.ClientSession, urls: list[str], asked: list[tuple[str, bytes]], clients: int
) -> np.ndarray:
    """Milliseconds [searches, urls]: every search goes to every URL, in an order that changes."""
    queue = list(enumerate(asked))
    taken = np.zeros((len(asked), len(urls)))

    async def client() -> None:
        while queue:
            n, (path, body) = queue.pop()
            for arm in sorted(range(len(urls)), key=lambda arm: (arm + n) % len(urls)):
                taken[n, arm] = await one(session, f"{urls[arm]}/{path}", body)

    await asyncio.gather(*(client() for _ in range(clients)))
    return taken


def report(kind: str, clients: int, taken: np.ndarray) -> None:
    for name, column in zip(("node", "gateway"), taken.T, strict=True):
        p50, p95, p99 = np.percentile(column, (50, 95, 99))
        print(f"{kind:<10} {clients:>7} {name:<8} {p50:8.2f} {p95:8.2f} {p99:8.2f}")
    medians = np.percentile(taken, 50, axis=0)
    pairs = np.median(taken[:, 1] - taken[:, 0])
    print(f"{kind:<10} {clients:>7} {'added':<8} {medians[1] - medians[0]:8.2f}   (of pairs: {pairs:.2f})")


async def main(settings: Settings, gateway: str, passages: int, searches: int, clients: list[int]) -> None:
    where = endpoints(settings)
    token = base64.b64encode(f"admin:{password(settings, 'admin')}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        await load_index(session, where.es_url, passages)
        print(f"{'':<10} {'clients':>7} {'':<8} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8}")
        for name in ("_search", "looked at", "_msearch"):
            asked = bodies(name, questions(searches))
            await in_turns(session, [where.es_url, gateway], asked[:200], 1)
            for number in clients:
                report(name, number, await in_turns(session, [where.es_url, gateway], asked, number))
        async with session.delete(f"{where.es_url}/{INDEX}"):
            pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--passages", type=int, default=30_000)
    parser.add_argument("--searches", type=int, default=2_000)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--gateway", help="URL; default: the stack's")
    parser.add_argument("--quick", action="store_true", help="2,000 passages, 200 searches, one client")
    given = parser.parse_args()
    if given.quick:
        given.passages, given.searches, given.clients = 2_000, 200, [1]
    settings = load()
    asyncio.run(
        main(
            settings,
            given.gateway or gateway_url(settings),
            given.passages,
            given.searches,
            given.clients,
        )
    )
