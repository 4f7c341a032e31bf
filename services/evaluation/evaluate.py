"""Measure ranked lists against a split's qrels, and say what they are.

Retrieval searches the whole collection; reranking orders a list that something else has found, so that its
values say as much of that list. They are never to be compared without saying so. A search that reranks its
own head does both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Literal

import ir_measures
import numpy as np

from services.collections.collection import Collection, Ords, Qrels
from services.errors import CheckFailed, NotFound
from services.evaluation.measures import Measure, Threshold
from services.mining.ranking import Candidates

_BATCH = 512  # queries measured at a time: ir_measures takes dicts of dicts

RunKind = Literal["retrieval", "reranking", "retrieval+reranking"]


@dataclass(frozen=True)
class Evaluation:
    """One system's values on one split, as `msmctl evaluate --json` prints them."""

    collection: str
    split: str
    system: str
    kind: RunKind
    queries: int
    measures: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


def judged_qords(collection: Collection, split: str) -> Ords:
    """The queries that count: those of the split with a judgement of any grade, ascending.

    Raises:
        NotFound: no such split, or it has no judgements.
    """
    qords = np.intersect1d(collection.split_qords(split, judged_only=False), collection.qrels(split).qords)
    if not len(qords):
        raise NotFound(
            f"split '{split}' of collection '{collection.name}' has no judgements to measure against",
            hint=f"`msmctl collection update {collection.name} --qrels {split}=FILE` adds them",
        )
    return qords.astype(np.int32)


def evaluate(
    collection: Collection,
    split: str,
    system: str,
    measures: list[Measure],
    rankings: Iterable[Candidates],
    kind: RunKind = "retrieval",
) -> Evaluation:
    """Measure a system's rankings.

    The order of a ranking is taken as it is: ties were broken by whoever made it. A judged query
    without a ranking counts 0; rankings of queries that are not judged are passed over.

    Args:
        collection: Whose qrels count.
        split: Which of them.
        system: A name for the result.
        measures: At least one.
        rankings: At most one per query, in any order; consumed once, a batch of queries at a time. An
            ord below zero stands for a passage that the collection does not have.
        kind: What the rankings are.
    """
    qrels = collection.qrels(split)
    missing = {int(qord) for qord in judged_qords(collection, split)}
    total = len(missing)
    sums = {measure.measure: measure.measure.aggregator() for measure in measures}
    for batch in _batches(ranking for ranking in rankings if ranking.qord in missing):
        missing -= {ranking.qord for ranking in batch}
        _measure(sums, qrels, batch)
    nothing = np.empty(0, np.int32), np.empty(0, np.float32)
    for batch in _batches(Candidates(qord, *nothing) for qord in sorted(missing)):
        _measure(sums, qrels, batch)
    values = {measure.name: float(sums[measure.measure].result()) for measure in measures}
    return Evaluation(collection.name, split, system, kind, total, values)


def check(found: Iterable[Evaluation], least: Iterable[Threshold]) -> None:
    """Compare with thresholds.

    Raises:
        CheckFailed: a value is below its threshold; all such are named.
    """
    bounds = list(least)
    low = [
        f"{one.system}: {bound.name} is {one.measures[bound.name]:.4f}, below {bound.least:g}"
        for one in found
        for bound in bounds
        if not one.measures[bound.name] >= bound.least
    ]
    if low:
        raise CheckFailed("; ".join(low))


def _batches(rankings: Iterable[Candidates]) -> Iterator[list[Candidates]]:
    iterator = iter(rankings)
    while batch := list(islice(iterator, _BATCH)):
        yield batch


def _measure(sums: dict[Any, Any], qrels: Qrels, batch: list[Candidates]) -> None:
    """Add a batch's values; scores are ranks counted down, so that no provider orders ties anew."""
    judged = {}
    run = {}
    for ranking in batch:
        qid = str(ranking.qord)
        ords, grades = qrels.of(ranking.qord)
        judged[qid] = dict(zip(map(str, ords.tolist()), grades.tolist(), strict=True))
        judged[qid] |= {
            f"outside {n}": grade for n, grade in enumerate(qrels.grades_outside(ranking.qord).tolist())
        }
        run[qid] = {str(passage): float(-rank) for rank, passage in enumerate(ranking.ords.tolist())}
    for metric in ir_measures.iter_calc(list(sums), judged, run):
        sums[metric.measure].add(metric.value)
