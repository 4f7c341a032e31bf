"""Does fusion earn its place? Every method's default against the better leg, also with legs that were spoilt.

    python benchmarks/fusion.py HOME squad:test python:test dl19:test [--runs FOLDER]

HOME is the MSM_HOME of a running stack that serves the collections named (the demo's is `python`), each with
a dense system. Every question is asked through the engine that serves, so that the table is of the code that
answers: nDCG@10, the gain over the better leg, its 95 % interval and p by paired bootstrap (10,000 draws).

Spoilt legs: the query's vector cut to its first 96 or 24 dimensions, or random; four of ten of the query's
words, or all but its two shortest, kept from BM25. What is spoilt is the query, in the same way for all
methods. With --runs, published TREC runs over MS MARCO v1 are fused as they are, two by two, as lists alone:
no true scores, no sample.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa

from services.collections.collection import Collection
from services.deadline import Deadline
from services.elastic.mapping import ServedSystem
from services.evaluation.evaluate import judged_qords
from services.evaluation.measures import parse_measure
from services.evaluation.searched import StoredQueries
from services.evaluation.trec_run import read_run
from services.inference.models import Floats
from services.jobs.context import context_for
from services.jobs.kind import Context
from services.search.fusion import Candidates, Leg
from services.search.opened import blocking
from services.search.request import SearchRequest
from services.search.table import side_by_side
from services.settings import load
from services.tuning.arms import Arm, alone
from services.tuning.intervals import difference
from services.tuning.labels import Grades, judgements
from services.tuning.values import values

METHODS = ("surprisal", "convex", "convex-zscore", "convex-minmax", "rrf")
BATCH, SEED, DROPPED = 256, 7, 0.4
_WORD = re.compile(r"\w+")
Vectors = Callable[[Floats, np.random.Generator], Floats]
Words = Callable[[str, np.random.Generator], str]


@dataclass(frozen=True)
class Case:
    """What is done to the legs' queries before they are asked."""

    name: str
    vectors: Vectors = lambda vectors, _: vectors
    words: Words = lambda text, _: text


def first(dims: int) -> Vectors:
    """Only the first dimensions count: the product with what is zero is none."""
    return lambda vectors, _: np.where(np.arange(vectors.shape[1]) < dims, vectors, 0).astype(np.float32)


def thinned(text: str, rng: np.random.Generator) -> str:
    """Four of ten words are dropped."""
    return " ".join(word for word in _WORD.findall(text) if rng.random() > DROPPED)


def shortest(text: str, rng: np.random.Generator) -> str:
    """The two shortest words, which tell little."""
    return " ".join(sorted(_WORD.findall(text), key=len)[:2])


CASES = (
    Case("as they are"),
    Case("dense: 96 dimensions", vectors=first(96)),
    Case("dense: 24 dimensions", vectors=first(24)),
    Case("dense: random", vectors=lambda v, rng: rng.standard_normal(v.shape).astype(np.float32)),
    Case("bm25: 4 of 10 words gone", words=thinned),
    Case("bm25: two shortest words", words=shortest),
)


@dataclass(frozen=True)
class Spoilt:
    """Vectors of stored queries, known by the mark at the end of their texts, changed by a case."""

    stored: StoredQueries
    originals: dict[str, str]
    case: Case

    async def embed(self, system: ServedSystem, texts: Sequence[str], deadline: Deadline) -> Floats:
        """See `services.inference.models.Models`."""
        vectors = await self.stored.embed(system, [self.originals[text] for text in texts], deadline)
        return self.case.vectors(vectors, np.random.default_rng(SEED))

    async def rerank(self, model: str, query: str, texts: Sequence[str], deadline: Deadline) -> Floats:
        """See `services.inference.models.Models`."""
        return await self.stored.rerank(model, query, texts, deadline)


def asked(context: Context, collection: Collection, qords: np.ndarray, case: Case) -> Iterator[Candidates]:
    """The candidates of queries, asked as a case has it."""
    texts = collection.read_queries(0, collection.state.query_count, ["text"])["text"]
    request, rng = SearchRequest(mode="hybrid", fusion="surprisal"), np.random.default_rng(SEED)
    with blocking(context.settings, context.store) as (runner, engine):
        version = runner.run(engine.served.of(collection.name, Deadline()))
        ask = runner.run(engine.resolved(request, version, Deadline()))
        for lo in range(0, len(qords), BATCH):
            batch = qords[lo : lo + BATCH]
            plain = texts.take(pa.array(batch)).to_pylist()
            # A word that is in no passage tells queries apart that have become the same.
            spoilt = [
                f"{case.words(text, rng)} qzxqz{qord}"
                for text, qord in zip(plain, batch.tolist(), strict=True)
            ]
            stored = StoredQueries(context, collection, batch, plain, engine.models)
            models = Spoilt(stored, dict(zip(spoilt, plain, strict=True)), case)
            for answer in runner.run(replace(engine, models=models).rank_many(ask, spoilt)):
                yield answer.fused.candidates


def published(folder: Path, collection: Collection) -> Iterator[tuple[str, list[Candidates], list[Grades]]]:
    """Runs two by two: lists alone."""
    qords = judged_qords(collection, "test").tolist()
    grades = judgements(collection, "test", qords).grades
    runs = {path.name: read_run(path, collection) for path in sorted(folder.glob("*.trec"))}
    lists = {name: {one.qord: one for one in run.rankings} for name, run in runs.items()}
    for pair in combinations(lists, 2):
        legs = [Leg(name.split(".")[0], "bm25" if "bm25" in name else "dot") for name in pair]
        tables = [
            side_by_side(legs, [(lists[name][q].ords, lists[name][q].scores) for name in pair]) for q in qords
        ]
        yield " + ".join(leg.name for leg in legs), tables, grades


def report(name: str, tables: list[Candidates], grades: list[Grades]) -> None:
    """A line per method."""
    legs = alone(tables[0].legs)
    arms = [*legs, *(Arm(fusion=method) for method in METHODS)]
    found = values(arms, tables, grades, parse_measure("nDCG@10"))
    better = found[int(np.argmax(found[: len(legs)].mean(axis=1)))]
    worth = ", ".join(f"{arm.name} {row.mean():.4f}" for arm, row in zip(legs, found, strict=False))
    print(f"{name} ({len(tables):,} queries): {worth}")
    for arm, row in zip(arms[len(legs) :], found[len(legs) :], strict=True):
        gain = difference(row - better)
        interval = f"{gain.mean:+.4f} [{gain.low:+.4f} {gain.high:+.4f}] p {gain.p:.4f}"
        print(f"    {arm.name:<14} {row.mean():.4f}  {interval}")


def main() -> None:
    """All collections, all cases."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("home", type=Path, nargs="?", help="MSM_HOME of a running stack")
    parser.add_argument("collections", nargs="*", metavar="COLLECTION:SPLIT")
    parser.add_argument(
        "--runs", type=Path, help="folder of *.trec; the first collection named dl19… has the qrels"
    )
    given = parser.parse_args()
    if given.home is None:
        print("not run: it needs the HOME of a stack that serves collections (--help)")
        return
    os.environ["MSM_HOME"] = str(given.home.absolute())
    context = context_for(load())
    for name, _, split in (text.partition(":") for text in given.collections):
        collection = Collection.open(context.store, name)
        qords = judged_qords(collection, split or "test")
        grades = judgements(collection, split or "test", qords.tolist()).grades
        for case in CASES:
            report(f"{name}, {case.name}", list(asked(context, collection, qords, case)), grades)
        if given.runs and name.startswith("dl19"):
            for pair, tables, of_queries in published(given.runs, collection):
                report(f"published runs, {pair}", tables, of_queries)


if __name__ == "__main__":
    main()
