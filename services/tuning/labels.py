"""What counts as relevant: judgements, or the scores that a cross-encoder gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.collections.collection import Collection
from services.errors import UsageError
from services.scoring.scores import open_scores
from services.search.fusion import Candidates

Grades = Mapping[str, int]
"""Grade by passage; a passage that is not in it is not relevant."""


@dataclass(frozen=True)
class Labels:
    """Labels of queries, in the order of the queries.

    Attributes:
        grades: Per query; empty where it has none.
        share: Of the candidates, how many are labelled.
    """

    grades: list[Grades]
    share: float


def judgements(collection: Collection, split: str, qords: Sequence[int]) -> Labels:
    """A split's qrels, with those of passages that the collection does not hold."""
    qrels = collection.qrels(split)
    found: list[Grades] = []
    for qord in qords:
        ords, grades = qrels.of(qord)
        of_query = dict(zip(map(str, ords.tolist()), grades.tolist(), strict=True))
        outside = qrels.grades_outside(qord).tolist()
        found.append(of_query | {f"outside {n}": grade for n, grade in enumerate(outside)})
    return Labels(found, 1.0)


def scored(
    collection: Collection, ce: str | None, qords: Sequence[int], tables: Sequence[Candidates]
) -> Labels:
    """Stored ce_scores of the candidates: above 0 (more likely relevant than not) counts as grade 1.

    Raises:
        NotFound: there are no scores, or none by `ce`.
        UsageError: not one of the candidates has a score.
    """
    scores = open_scores(collection, ce)
    queries = np.repeat(np.asarray(qords, np.int32), [len(table.ords) for table in tables])
    ords = np.concatenate([table.ords for table in tables])
    values = scores.of(queries, ords)
    known = ~np.isnan(values)
    if not known.any():
        raise UsageError(
            f"none of these queries' candidates has a score by '{scores.ce}'",
            hint=f"`msmctl score --collection {collection.name} --ce {scores.ce}` scores what was mined",
        )
    parts = np.split(values > 0, np.cumsum([len(table.ords) for table in tables])[:-1])
    grades: list[Grades] = [
        {str(o): 1 for o in table.ords[positive].tolist()}
        for table, positive in zip(tables, parts, strict=True)
    ]
    return Labels(grades, float(known.mean()))
