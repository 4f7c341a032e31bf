"""How fast is exact dense retrieval, and in how much memory, next to the usual ways? Made-up unit vectors.

    python benchmarks/dense_mining.py [--queries 8585] [--passages 2067 200000] [--k 60] [--turns 3]

Arms, each in a process of its own, taking turns: ours; one product of everything and `topk` (torch);
`sentence_transformers.util.semantic_search`. The vectors lie in .npy files of 4,096 rows, as in the
store; reading them is part of every arm. A ratio is the median of the turns'; CPU seconds count beside
wall seconds, since on a shared machine only they say much. All arms must find the same passages.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

DIM, SHARD = 384, 4096
Search = Callable[[int], list]
ARMS = ("ours", "torch", "semantic_search")


def main() -> None:
    """Run all sizes and print a table of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--queries", type=int, default=8585)
    parser.add_argument("--passages", type=int, nargs="+", default=[2067, 200_000])
    parser.add_argument("--k", type=int, default=60)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.arm:
        print(json.dumps(run_arm(given.arm, given.folder, given.k)))
        return
    for passages in given.passages:
        queries = min(given.queries, max(1000, 400_000_000 // passages))
        with tempfile.TemporaryDirectory() as folder:
            write_vectors(Path(folder), queries, passages)
            compare(
                Path(folder),
                given.k,
                given.turns,
                f"{queries:,} queries x {passages:,} passages, k {given.k}",
            )


def write_vectors(folder: Path, queries: int, passages: int) -> None:
    """Unit vectors: `queries.npy` and shards of passages."""
    draw = np.random.default_rng(0)
    for name, rows in [
        ("queries.npy", queries),
        *((f"part-{lo:010d}.npy", min(SHARD, passages - lo)) for lo in range(0, passages, SHARD)),
    ]:
        vectors = draw.standard_normal((rows, DIM), np.float32)
        np.save(folder / name, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def compare(folder: Path, k: int, turns: int, title: str) -> None:
    """Take turns and print medians."""
    results: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    for _ in range(turns):
        for arm in ARMS:
            command = [sys.executable, __file__, "--arm", arm, "--folder", str(folder), "--k", str(k)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            results[arm].append(json.loads(done.stdout.splitlines()[-1]))
    answers = {arm: runs[0]["found"] for arm, runs in results.items()}
    print(f"\n{title}\n{'arm':<16} {'wall s':>7} {'cpu s':>7} {'x wall':>7} {'x cpu':>7} {'MiB':>7}")
    for arm, runs in results.items():
        middle = {what: statistics.median(run[what] for run in runs) for what in ("wall", "cpu", "mib")}
        ratios = [
            statistics.median(
                base[what] / run[what] for base, run in zip(results["torch"], runs, strict=True)
            )
            for what in ("wall", "cpu")
        ]
        print(
            f"{arm:<16} {middle['wall']:>7.2f} {middle['cpu']:>7.2f} {ratios[0]:>7.2f} {ratios[1]:>7.2f} "
            f"{middle['mib']:>7.0f}"
        )
    print("the same passages" if len(set(answers.values())) == 1 else f"DIFFERENT PASSAGES: {answers}")


def run_arm(arm: str, folder: Path, k: int) -> dict[str, float]:
    """Time one arm; `mib` is what it took beyond the imports."""
    search = {"ours": ours, "torch": whole, "semantic_search": peer}[arm](folder)
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    found = search(k)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "wall": wall,
        "cpu": cpu,
        "mib": (after.ru_maxrss - before.ru_maxrss) / 1024,
        "found": int(np.asarray(found, np.int64).sum()),
    }


def ours(folder: Path) -> Search:
    """Blockwise with a running top-k, from memory-mapped shards."""
    import torch

    from services.mining.dense import DenseRetriever

    shards = sorted(folder.glob("part-*.npy"))

    class Table:
        def blocks(self) -> Iterator[tuple[int, int, np.ndarray]]:
            for n, path in enumerate(shards):
                block = np.load(path, mmap_mode="r")
                yield n * SHARD, n * SHARD + len(block), block

        def take(self, positions: np.ndarray) -> np.ndarray:
            return np.load(folder / "queries.npy", mmap_mode="r")[positions]

    rows = sum(len(np.load(path, mmap_mode="r")) for path in shards)
    queries = len(np.load(folder / "queries.npy", mmap_mode="r"))
    retriever = DenseRetriever(Table(), Table(), np.ones(rows, bool), device=torch.device("cpu"))
    return lambda k: [one.ords for one in retriever.search(np.arange(queries, dtype=np.int32), k)]


def whole(folder: Path) -> Search:
    """All scores in one matrix (in slices of 4,096 queries where that would not fit), then topk."""
    import torch

    def search(k: int) -> list[np.ndarray]:
        passages = torch.from_numpy(
            np.concatenate([np.load(path) for path in sorted(folder.glob("part-*.npy"))])
        )
        queries = torch.from_numpy(np.load(folder / "queries.npy"))
        return [
            row for part in queries.split(4096) for row in (part @ passages.T).topk(k, dim=1).indices.numpy()
        ]

    return search


def peer(folder: Path) -> Search:
    """sentence-transformers' own, with its default chunks."""
    import torch
    from sentence_transformers.util import dot_score, semantic_search

    def search(k: int) -> list[list[int]]:
        passages = torch.from_numpy(
            np.concatenate([np.load(path) for path in sorted(folder.glob("part-*.npy"))])
        )
        queries = torch.from_numpy(np.load(folder / "queries.npy"))
        found = semantic_search(queries, passages, top_k=k, score_function=dot_score)
        return [[hit["corpus_id"] for hit in hits] for hits in found]

    return search


if __name__ == "__main__":
    main()
