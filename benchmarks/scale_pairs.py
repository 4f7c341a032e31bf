"""How fast, and in how much memory, do millions of pairs go from runs to exports? Made-up ids, no models.

    .venv/bin/python benchmarks/scale_pairs.py [--queries 50000,100000,500000] [--passages 100000] [--words 1]

Per size a store is made in a temporary folder: passages and queries of one word (near copies are looked
for, but texts that short cost next to nothing; `--words 56` shows what they cost), and real runs of the 13
systems of the reference file, 50 candidates a query each, about 320 of these 650 distinct, as published.
Then every stage runs in a process of its own, on what the real commands read: dedupe (what `msmctl score`
asks for), scores (made up, written as parts), join (which of the pairs have a score), filters (verdicts,
ce-margin, rank-range, max-per-system) and three exports. rows: candidates read, or pairs where there are
no systems any more. peak: resident memory of that process, libraries included.

Ends with 1 if the peak of a stage is 2 GB or more, or grows by more than a quarter from the smallest size to
the largest. Import and runs only make what is read, and are not judged.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from services.collections.collection import Collection, Ords
from services.exports.export import ExportRequest, plan, write
from services.exports.registry import FORMATS
from services.meter import PeakMemory
from services.mining.exclusion import rule
from services.mining.runs import SCHEMA, Inputs, RunManifest, make_current, run_folder, write_rows
from services.negatives.opening import Asked, open_negatives
from services.scoring import select
from services.scoring.score_folder import ScoredBy, ScoreFolder
from services.scoring.score_parts import Triples, write_stream
from services.scoring.scores import open_scores
from services.store import Store
from services.systems.registry import Registry

NAME, SPLIT, CE = "scale", "train", "ms-marco-MiniLM-L6-v2"
SYSTEMS, DEPTH, POOL = 13, 50, 379
FILTERS = ("ce-margin=3", "rank-range=1:30", "max-per-system=5")
PREPARED = ("import", "runs")
SIZES, QUICK = "50000,100000,500000", "2000"
LIMIT_MB, GROWTH = 2048, 1.25
_ROWS = 1 << 15
_QUERIES = 1000  # of a part of a run, as mining through Elasticsearch has it
_ODD = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], np.uint64)
Hashes = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float32]


class Done(NamedTuple):
    """What a stage did: rows that it read, rows that it gave; seconds, CPU seconds, peak memory in MB."""

    rows: int
    gave: int
    wall: float = 0.0
    cpu: float = 0.0
    peak: float = 0.0


# -- what is made up ------------------------------------------------------------------------------------


def mixed(numbers: npt.NDArray[np.integer]) -> Hashes:
    """Numbers as if drawn at random (splitmix64; Steele et al., 2014)."""
    hashes: Hashes = numbers.astype(np.uint64) + _ODD[0]
    hashes = (hashes ^ (hashes >> np.uint64(30))) * _ODD[1]
    hashes = (hashes ^ (hashes >> np.uint64(27))) * _ODD[2]
    return hashes ^ (hashes >> np.uint64(31))


def positives(qords: Ords, passages: int) -> Ords:
    """The one positive of each query."""
    return (mixed(qords) % np.uint64(passages)).astype(np.int32)


def ranked(qords: Ords, system: int, passages: int) -> npt.NDArray[np.int32]:
    """What a system returns, best first: int32 [queries, 50].

    All systems draw from the same 379 passages of a query, spread over the collection; the first of them is
    the positive. 379 is a prime, so that steps of any length meet a passage once only.
    """
    drawn = mixed((qords.astype(np.int64) << 8) + system + 1)
    start, step = drawn % np.uint64(POOL), drawn // np.uint64(POOL) % np.uint64(POOL - 1) + np.uint64(1)
    places = (start[:, None] + step[:, None] * np.arange(DEPTH, dtype=np.uint64)) % np.uint64(POOL)
    ords = positives(qords, passages)[:, None] + places.astype(np.int64) * (passages // POOL)
    return (ords % passages).astype(np.int32)


def ce_scores(qords: Ords, ords: Ords, passages: int) -> Floats:
    """8 for a positive; for others anything from -11 to 9, so that a fifth is within a margin of 3."""
    drawn = mixed((qords.astype(np.int64) << 32) | ords) >> np.uint64(11)
    scores = (9 - 20 * (drawn / 2.0**53)).astype(np.float32)
    scores[ords == positives(qords, passages)] = 8
    return scores


def make_collection(folder: Path, queries: int, passages: int, words: int) -> Done:
    """Passages of some words, queries of one, a positive each, through the importer."""
    from services.collections.change import How
    from services.collections.importer import ImportRequest, import_collection
    from services.collections.sources import files
    from services.collections.sources.source import Given

    def passage(ords: Ords) -> dict[str, pa.Array]:
        return {"pid": _strings(ords), "text": texts(ords, words)}

    def query(qords: Ords) -> dict[str, pa.Array]:
        return {"qid": _strings(qords), "text": _strings(qords)}

    def judged(qords: Ords) -> dict[str, pa.Array]:
        ones = pa.array(np.ones(len(qords), np.int32))
        return {"qid": _strings(qords), "pid": _strings(positives(qords, passages)), "grade": ones}

    given = Given(
        passages=[files.passages(_file(folder / "passages.parquet", passages, passage))],
        queries=[(SPLIT, files.queries(_file(folder / "queries.parquet", queries, query)))],
        qrels=[(SPLIT, files.qrels(_file(folder / "qrels.parquet", queries, judged)))],
    )
    import_collection(_store(folder), ImportRequest(NAME, given), How(locks=folder / "locks"))
    return Done(passages + queries, passages + queries)


def texts(ords: Ords, words: int) -> pa.Array:
    """Texts of so many words out of 50,000; the first is the passage's own, so that no two are alike."""
    drawn = mixed(ords[:, None].astype(np.int64) * 1024 + np.arange(words)).astype(np.int64) % 50_000
    drawn[:, 0] = ords
    starts = np.arange(0, drawn.size + 1, words, dtype=np.int32)
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(starts), _strings(drawn.ravel())), " ")


def _strings(numbers: npt.NDArray[np.integer]) -> pa.Array:
    return pa.array(numbers).cast(pa.string())


def _file(path: Path, rows: int, columns: Callable[[Ords], dict[str, pa.Array]]) -> Path:
    """A parquet file, some rows at a time."""
    writer = None
    for lo in range(0, rows, _ROWS):
        table = pa.table(columns(np.arange(lo, min(lo + _ROWS, rows), dtype=np.int32)))
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()
    return path


def make_runs(folder: Path) -> Done:
    """A run of every system, in parts as mining writes them."""
    collection = _collection(folder)
    systems = list(Registry.load(collection.store))[:SYSTEMS]
    rows = 0
    for number, system in enumerate(systems):
        key = f"{run_folder(NAME, SPLIT, system.slug)}/made"
        parts = [
            write_rows(
                collection.store, key, int(qords[0]), int(qords[-1]) + 1, _run(qords, number, collection)
            )
            for qords in _ranges(collection)
        ]
        state = collection.state
        inputs = Inputs(
            collection=NAME, collection_version=state.version, collection_fingerprint=state.fingerprint,
            passages_fingerprint=state.passages_fingerprint, split=SPLIT, system=system.name,
            system_fingerprint="made up", engine="exact" if number else "es", depth=DEPTH, all_queries=False,
            exclusion=rule(),
        )  # fmt: skip
        candidates = sum(part.rows for part in parts)
        manifest = RunManifest(
            inputs=inputs, folder=key, parts=parts, queries=state.query_count, candidates=candidates, short=0
        )
        make_current(collection.store, system.slug, manifest)
        rows += candidates
    return Done(rows, rows)


def _run(qords: Ords, system: int, collection: Collection) -> pa.Table:
    rank = np.tile(np.arange(1, DEPTH + 1, dtype=np.int32), len(qords))
    score = (90 - rank + (np.repeat(mixed(qords), DEPTH) >> np.uint64(11)) / 2.0**53).astype(np.float32)
    ords = ranked(qords, system, collection.passage_count).ravel()
    return pa.table([np.repeat(qords, DEPTH), ords, rank, score], schema=SCHEMA)


def _ranges(collection: Collection) -> Iterator[Ords]:
    total = collection.state.query_count
    for lo in range(0, total, _QUERIES):
        yield np.arange(lo, min(lo + _QUERIES, total), dtype=np.int32)


# -- the stages -----------------------------------------------------------------------------------------


def dedupe(folder: Path) -> Done:
    """The distinct pairs that `msmctl score` would score."""
    asked = gave = 0
    for pairs in select.Wanted(_collection(folder), select.Asked(SPLIT)).blocks():
        asked += pairs.asked
        gave += len(pairs.ords)
    return Done(asked, gave)


def scores(folder: Path) -> Done:
    """A score for each of these pairs, in parts."""
    collection = _collection(folder)
    wanted = select.Wanted(collection, select.Asked(SPLIT))
    by = ScoreFolder(collection.store, NAME, ScoredBy(ce=CE, fingerprint="made up"))
    by.add(write_stream(by, (_scored(pairs, collection) for pairs in wanted.blocks())))
    rows = sum(one.part.rows for one in by.parts())
    return Done(rows, rows)


def _scored(pairs: select.Pairs, collection: Collection) -> Triples:
    found = ce_scores(pairs.qords, pairs.ords, collection.passage_count)
    return Triples(pairs.qords, pairs.ords, found)


def join(folder: Path) -> Done:
    """Which of the pairs that are wanted have a score: what a second `msmctl score` asks."""
    collection = _collection(folder)
    stored = open_scores(collection)
    rows = missing = 0
    for pairs in select.Wanted(collection, select.Asked(SPLIT)).blocks():
        rows += len(pairs.ords)
        missing += int(select.to_do(pairs, stored).sum())
    return Done(rows, rows - missing)


def filters(folder: Path) -> Done:
    """What verdicts and filters leave."""
    opened = open_negatives(_collection(folder), _asked())
    rows = gave = 0
    for n in range(opened.candidates.blocks):
        block = opened.candidates.block(n)
        rows += len(block)
        gave += int(opened.selection.keep(block).sum())
    return Done(rows, gave)


def exporting(name: str, file: str) -> Callable[[Path], Done]:
    """A stage that exports in one format."""

    def export(folder: Path) -> Done:
        collection = _collection(folder)
        reads_runs = FORMATS[name].reads.options == "negatives"
        place = folder / file
        planned = plan(
            collection, ExportRequest(FORMATS[name], _asked() if reads_runs else Asked(SPLIT), place)
        )
        manifest = write(planned)
        read = collection.state.query_count * SYSTEMS * DEPTH if reads_runs else manifest.rows
        return Done(read, manifest.negatives if reads_runs else manifest.rows)

    return export


def _asked() -> Asked:
    return Asked(SPLIT, filters=FILTERS)


def _store(folder: Path) -> Store:
    return Store(str(folder / "store"))


def _collection(folder: Path) -> Collection:
    return Collection.open(_store(folder), NAME)


STAGES: dict[str, Callable[[Path], Done]] = {
    "runs": make_runs,
    "dedupe": dedupe,
    "scores": scores,
    "join": join,
    "filters": filters,
    "triplet-hard-ids": exporting("triplet-hard-ids", "triplets"),
    "hard-negatives": exporting("hard-negatives", "negatives.jsonl.gz"),
    "scores-pickle": exporting("scores-pickle", "scores.pkl.gz"),
}


# -- running and judging --------------------------------------------------------------------------------


def measured(stage: Callable[[], Done]) -> Done:
    """A stage in this process."""
    memory, cpu, wall = PeakMemory(), time.process_time(), time.perf_counter()
    done = stage()
    seconds = time.perf_counter() - wall
    return done._replace(wall=seconds, cpu=time.process_time() - cpu, peak=memory.bytes / 2**20)


def in_a_process(stage: str, folder: Path, *sizes: int) -> Done:
    """A stage in a process of its own."""
    names = ("--queries", "--passages", "--words")
    words = [word for name, size in zip(names, sizes, strict=True) for word in (name, str(size))]
    command = [sys.executable, __file__, "--stage", stage, "--folder", str(folder), *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Done(*json.loads(done.stdout.splitlines()[-1]))


def run(queries: int, passages: int, words: int, folder: Path) -> dict[str, Done]:
    """All stages of one size; a line of the table each."""
    print(f"\n{queries:,} queries x {SYSTEMS} systems x {DEPTH} candidates of {passages:,} passages")
    print(f"{'stage':<17} {'rows':>12} {'gave':>12} {'wall s':>8} {'cpu s':>8} {'rows/s':>11} {'peak MB':>8}")
    found = {}
    for stage in ("import", *STAGES):
        one = found[stage] = in_a_process(stage, folder, queries, passages, words)
        print(
            f"{stage:<17} {one.rows:>12,} {one.gave:>12,} {one.wall:>8.1f} {one.cpu:>8.1f} "
            f"{one.rows / one.wall:>11,.0f} {one.peak:>8.0f}",
            flush=True,
        )
    return found


def complaints(found: dict[int, dict[str, Done]]) -> Iterator[str]:
    """What is wrong with the peaks; `found` by number of queries."""
    least, most = min(found), max(found)
    for stage in STAGES.keys() - set(PREPARED):
        small, large = found[least][stage].peak, found[most][stage].peak
        if large >= LIMIT_MB:
            yield f"{stage}: {large:.0f} MB at {most:,} queries, the limit is {LIMIT_MB}"
        if large > GROWTH * small:
            yield f"{stage}: {small:.0f} MB at {least:,} queries, {large:.0f} at {most:,}: not flat"


def main() -> None:
    """Run all sizes, or one stage of one size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--queries", default=SIZES, help="sizes, joined by commas")
    parser.add_argument("--passages", type=int, default=100_000, help=f"at least {POOL}")
    parser.add_argument("--words", type=int, default=1, help="of a passage, at most 1024")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} queries only")
    parser.add_argument("--scratch", type=Path, help="where the stores are made, 10 KB a query")
    parser.add_argument("--stage", choices=["import", *STAGES], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    sizes = [int(size) for size in (QUICK if given.quick else given.queries).split(",")]
    if given.stage == "import":
        print(
            json.dumps(measured(lambda: make_collection(given.folder, sizes[0], given.passages, given.words)))
        )
    elif given.stage:
        print(json.dumps(measured(lambda: STAGES[given.stage](given.folder))))
    else:
        found = {}
        for queries in sizes:
            with tempfile.TemporaryDirectory(dir=given.scratch) as folder:
                found[queries] = run(queries, given.passages, given.words, Path(folder))
        wrong = sorted(complaints(found))
        print("\n" + "\n".join(wrong or [f"every peak is below {LIMIT_MB} MB and flat"]))
        sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
