"""A positive with its first N negatives per row: the layouts of sentence-transformers' losses.

The losses go by the order of the columns, and take the first of `label`, `labels`, `score`, `scores` as
the label (sentence-transformers, training overview, dataset format). Scores are the cross-encoder's own,
in logits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.exports import columns
from services.exports.columns import Rows, negative_names
from services.exports.format import Encoded, Format, Option, Options, Output
from services.exports.lookup import Lookup
from services.exports.reading import Negatives, ScoresOf, negatives
from services.exports.selected import Selected
from services.mining.ranking import Scores

_Label = Callable[[Scores, Scores], pa.Array]
"""From the scores of the positives [rows] and of the negatives [rows, n]."""


def _rows_of(values: npt.NDArray[np.floating]) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1]).cast(pa.list_(flat.type))


def _all_scores(positive: Scores, negative: Scores) -> pa.Array:
    return _rows_of(np.column_stack([positive, negative]))


def _margins(positive: Scores, negative: Scores) -> pa.Array:
    margins = positive[:, None].astype(np.float64) - negative
    return pa.array(margins[:, 0]) if margins.shape[1] == 1 else _rows_of(margins)


def _declare(
    name: str, help_: str, default: int, label: tuple[str, _Label] | None = None
) -> Format[Negatives]:
    scores: ScoresOf = "none" if label is None else "needed"

    def outputs(reading: Negatives, options: Options) -> list[Output]:
        n = options["num-negatives"]

        def encode(selected: Selected, lookup: Lookup) -> Encoded:
            rows = Rows(*selected.tuples(n))
            found = columns.texts(selected, lookup, rows, negative_names(n))
            if label:
                ce = selected.block.positives.ce[rows.positive], selected.block.pairs.ce[rows.negatives]
                found[label[0]] = label[1](*ce)
            query = rows.query(selected.block.positives)
            return Encoded(pa.table(found), selected.counts(query, rows.negatives.size))

        return [reading.table(name, encode)]

    many = Option("num-negatives", "Negatives per row; queries with fewer are left out.", default)
    return Format(
        name, help_, "out", negatives(scores), outputs, folder=True, options=(many,),
        negatives_per_row=lambda options: options["num-negatives"],
    )  # fmt: skip


TUPLES: list[Format[Negatives]] = [
    _declare("n-tuple", "query, positive, negative_1 to negative_N: MultipleNegativesRankingLoss.", 5),
    _declare(
        "n-tuple-scores",
        "The same with `scores`, N + 1 of them, the positive's first.",
        5,
        ("scores", _all_scores),
    ),
    _declare(
        "margin-mse",
        "query, positive, negative_1 to negative_N, `label`: margins of the scores: MarginMSELoss.",
        1,
        ("label", _margins),
    ),
    _declare(
        "kldiv",
        "query, positive, negative_1 to negative_N, `label`: N + 1 scores: DistillKLDivLoss.",
        5,
        ("label", _all_scores),
    ),
]
