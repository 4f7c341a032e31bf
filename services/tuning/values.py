"""What an arm is worth, query by query."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ir_measures
import numpy as np
import numpy.typing as npt

from services.evaluation.measures import Measure
from services.search.fusion import Candidates
from services.tuning.arms import Arm
from services.tuning.labels import Grades

Floats = npt.NDArray[np.float64]
_BATCH = 512  # queries measured at a time: ir_measures takes dicts of dicts


def values(
    arms: Sequence[Arm],
    tables: Sequence[Candidates],
    grades: Sequence[Grades],
    measure: Measure,
    advance: Callable[[], None] = lambda: None,
) -> Floats:
    """The measure of every arm on every query, float64 [arms, queries].

    Args:
        arms: What is compared.
        tables: The queries' candidates.
        grades: Their labels.
        measure: Any that ir_measures computes per query.
        advance: Called when an arm is done.
    """
    found = np.empty((len(arms), len(tables)))
    for n, arm in enumerate(arms):
        for lo in range(0, len(tables), _BATCH):
            batch = slice(lo, lo + _BATCH)
            found[n, batch] = _measured(arm, tables[batch], grades[batch], measure)
        advance()
    return found


def _measured(arm: Arm, tables: Sequence[Candidates], grades: Sequence[Grades], measure: Measure) -> Floats:
    """One batch; scores are ranks counted down, so that no provider orders ties anew."""
    run = {
        str(n): {str(o): float(-rank) for rank, o in enumerate(arm.order(table, measure.depth).tolist())}
        for n, table in enumerate(tables)
    }
    judged = {str(n): dict(of_query) for n, of_query in enumerate(grades)}
    found = np.zeros(len(tables))
    for metric in ir_measures.iter_calc([measure.measure], judged, run):
        found[int(metric.query_id)] = metric.value
    return found
