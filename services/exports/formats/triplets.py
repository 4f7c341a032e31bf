"""The eight subsets of the published mined-triplets repositories: texts, and `-ids` twins in int64.

`triplet`: the first positive with the first negative by rank. `triplet-50`: with the first fifty, in
`negative_1` to `negative_50`. `triplet-all`: every positive with every negative. `triplet-hard`: those of
`triplet-all` that pass the margin of a cross-encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from services.exports import columns
from services.exports.columns import Columns, Rows, negative_names
from services.exports.format import Encoded, Format, Options, Output
from services.exports.lookup import Lookup
from services.exports.reading import Negatives, negatives
from services.exports.selected import Selected
from services.exports.texts import ids

COLUMNS = ("query", "positive", "negative")
MANY = 50

_Choose = Callable[[Selected], Rows]
_Fill = Callable[[Selected, Lookup, Rows, Sequence[str]], Columns]


def _first(n: int) -> _Choose:
    return lambda selected: Rows(*selected.tuples(n))


def _all(selected: Selected) -> Rows:
    positive, negative = selected.triples()
    return Rows(positive, negative[:, None])


def _table(choose: _Choose, fill: _Fill) -> Callable[[Selected, Lookup], Encoded]:
    def encode(selected: Selected, lookup: Lookup) -> Encoded:
        rows = choose(selected)
        n = rows.negatives.shape[1]
        found = fill(selected, lookup, rows, ["negative"] if n == 1 else negative_names(n))
        counts = selected.counts(rows.query(selected.block.positives), int(np.size(rows.negatives)))
        return Encoded(pa.table(found), counts)

    return encode


def _both(
    name: str, help_: str, choose: _Choose, *, least: int = 1, margin: bool = False
) -> list[Format[Negatives]]:
    """A subset and its twin."""
    needs: dict[str, Any] = {"folder": True, "negatives_per_row": lambda options: least}
    reads = negatives(scores="needed" if margin else "none", margin=margin)

    def texts_of(reading: Negatives, _: Options) -> list[Output]:
        return [reading.table(name, _table(choose, columns.texts))]

    def ids_of(reading: Negatives, _: Options) -> list[Output]:
        outputs = [reading.table(f"{name}-ids", _table(choose, columns.ids))]
        if not reading.lookup.integer_ids:
            outputs.append(ids(reading.collection, f"{name}-ids/ids.parquet"))
        return outputs

    return [
        Format(name, f"{help_}, as texts.", "out", reads, texts_of, **needs),
        Format(f"{name}-ids", f"{help_}, as int64 ids.", "out", reads, ids_of, **needs),
    ]


TRIPLETS: list[Format[Negatives]] = [
    *_both("triplet", "The first positive with the first negative by rank", _first(1)),
    *_both(
        f"triplet-{MANY}",
        f"The first positive with the first {MANY} negatives by rank",
        _first(MANY),
        least=MANY,
    ),
    *_both("triplet-all", "Every positive with every negative", _all),
    *_both(
        "triplet-hard",
        "Every positive with every negative that passes the margin (default: the cross-encoder's own)",
        _all,
        margin=True,
    ),
]
