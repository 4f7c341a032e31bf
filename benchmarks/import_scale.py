"""How fast is an import, and how much memory does it take? Synthetic passages of MS MARCO's shape.

    .venv/bin/python benchmarks/import_scale.py [--passages 2000000] [--queries 200000]

Prints one line of JSON: rates, peak resident memory of the importing process, and both extrapolated
to MS MARCO's 8,841,823 passages (memory: what grows with the passages is fitted from two sizes).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

MS_MARCO = 8_841_823
WORDS_PER_PASSAGE = 56  # MS MARCO's mean
VOCABULARY = 50_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=2_000_000)
    parser.add_argument("--queries", type=int, default=200_000)
    options = parser.parse_args()
    quarter = measure(options.passages // 4, options.queries // 4)
    full = measure(options.passages, options.queries)
    growth = (full["peak_mb"] - quarter["peak_mb"]) / (options.passages - options.passages // 4)
    print(
        json.dumps(
            {
                "quarter": quarter,
                "full": full,
                "ms_marco_minutes": round(MS_MARCO / full["passages_per_s"] / 60, 1),
                "ms_marco_peak_mb": round(full["peak_mb"] + growth * (MS_MARCO - options.passages)),
            }
        )
    )


def measure(passages: int, queries: int) -> dict[str, float]:
    """Write files, import them in a process of its own, and take its figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = write_files(folder, passages, queries)
        program = [sys.executable, __file__, "--child", name]
        started = time.monotonic()
        done = subprocess.run(program, check=True, capture_output=True, text=True)
        seconds = time.monotonic() - started
        inner = json.loads(done.stdout)
    return {
        "passages": passages,
        "queries": queries,
        "input_mb": round(size / 1e6),
        "seconds": round(seconds, 1),
        "passages_per_s": round(passages / seconds),
        "peak_mb": round(inner["peak_kb"] / 1024),
        "store_mb": round(inner["bytes"] / 1e6),
    }


def write_files(folder: Path, passages: int, queries: int) -> int:
    """`passages.tsv`, `queries.tsv`, `qrels.txt`; pids in random order. The size of all in bytes."""
    random = np.random.default_rng(7)
    words = np.array([f"w{i:x}" * (1 + i % 2) for i in range(VOCABULARY)])
    pids = random.permutation(passages)
    with (folder / "passages.tsv").open("w") as file:
        for lo in range(0, passages, 10_000):
            block = words[random.zipf(1.3, (min(10_000, passages - lo), WORDS_PER_PASSAGE)) % VOCABULARY]
            file.writelines(
                f"{pid}\t{' '.join(row)}\n" for pid, row in zip(pids[lo:], block.tolist(), strict=False)
            )
    with (folder / "queries.tsv").open("w") as file:
        file.writelines(
            f"{i}\twhat is {' '.join(words[random.integers(0, VOCABULARY, 4)])}\n" for i in range(queries)
        )
    with (folder / "qrels.txt").open("w") as file:
        file.writelines(f"{i} 0 {random.integers(passages)} 1\n" for i in range(queries))
    return sum(path.stat().st_size for path in folder.iterdir())


def child(folder: Path) -> None:
    """The import itself; prints its peak memory."""
    from services.collections.change import How
    from services.collections.importer import ImportRequest, import_collection
    from services.collections.sources import files
    from services.collections.sources.source import Given
    from services.collections.writer import parts_by_table
    from services.store import Store

    given = Given(
        passages=[files.passages(folder / "passages.tsv")],
        queries=[("train", files.queries(folder / "queries.tsv"))],
        qrels=[("train", files.qrels(folder / "qrels.txt"))],
    )
    store = Store(str(folder / "store"))
    state = import_collection(store, ImportRequest("scale", given), How(locks=folder / "locks")).state
    size = sum(part.bytes for parts in parts_by_table(state).values() for part in parts)
    print(json.dumps({"peak_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, "bytes": size}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]))
    else:
        main()
