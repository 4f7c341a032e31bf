"""Reading a pickle of scores without loading it, next to `pickle.load`: pairs per second and memory.

    python benchmarks/pickle_import.py [--queries 20000] [--pairs 320]

Each reader runs in a process of its own, several times in turn, the best counts. Memory is the peak of the
process above what it had after its imports. The reading that is compared is `read_pickle_scores`: arrays
per query, nothing kept; `pickle.load` keeps everything, as it must.
"""

from __future__ import annotations

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

KINDS = ("float", "float32", "text ids")
_ROUNDS = 3


def write(path: Path, kind: str, queries: int, pairs: int) -> None:
    """Scores as the reference file has them: ids below 8.8 million."""
    rng = np.random.default_rng(1)
    scores: dict[Any, dict[Any, Any]] = {}
    for qid in range(queries):
        pids: list[Any] = rng.integers(0, 8_841_823, pairs).tolist()
        values: list[Any] = rng.normal(0, 5, pairs).tolist()
        if kind == "float32":
            values = [np.float32(value) for value in values]
        if kind == "text ids":
            pids = [f"doc-{pid}" for pid in pids]
        scores[qid] = dict(zip(pids, values, strict=True))
    with path.open("wb") as file:
        pickle.dump(scores, file, protocol=4)


def measure(reader: str, path: Path) -> dict[str, float]:
    """Seconds and MB of one reading, in this process."""
    from services.imports.pickle_scores import read_pickle_scores

    before = peak_mb()
    start = time.perf_counter()
    if reader == "msmctl":
        pairs = sum(len(one.pids) for one in read_pickle_scores(path))
    else:
        with path.open("rb") as file:
            pairs = sum(map(len, pickle.load(file).values()))
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "mb": peak_mb() - before, "pairs": pairs}


def peak_mb() -> float:
    """The most memory that this process had (`ru_maxrss` would count that of its parent)."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    return int(line.split()[1]) / 1024


def best(reader: str, path: Path) -> dict[str, float]:
    """One reading in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--measure", reader, str(path)], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print a row per kind of file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--queries", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=320)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure[0], Path(given.measure[1]))))
        return
    print("scores\tpairs\tMB\tM pairs/s\tpickle.load M pairs/s\tratio\tmemory MB\tpickle.load MB\tshare")
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "scores.pkl"
            write(path, kind, given.queries, given.pairs)
            rounds = [(best("msmctl", path), best("pickle", path)) for _ in range(_ROUNDS)]
            ours, theirs = (
                min(column, key=lambda one: one["seconds"]) for column in zip(*rounds, strict=True)
            )
            rates = [one["pairs"] / one["seconds"] / 1e6 for one in (ours, theirs)]
            cells = [
                kind,
                f"{ours['pairs']:,.0f}",
                f"{path.stat().st_size / 1e6:,.0f}",
                *(f"{rate:.1f}" for rate in rates),
                f"{rates[0] / rates[1]:.2f}",
                f"{ours['mb']:.1f}",
                f"{theirs['mb']:,.0f}",
                f"{ours['mb'] / theirs['mb']:.1%}",
            ]
            print("\t".join(cells))


if __name__ == "__main__":
    main()
