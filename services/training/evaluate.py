"""What a model is worth on the queries that were kept out: their candidates reranked."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from services.training.methods import Rows


def reranked(rows: Rows, scores: npt.NDArray[np.float32]) -> dict[str, Any]:
    """RR@10 and success@1 of reranking each query's positives and best ranked negatives.

    A tie counts against the positive: a model that cannot tell passages apart earns nothing by it.

    Args:
        rows: `qord`, `label` of each pair.
        scores: Of each pair.
    """
    if not len(scores):
        return {"queries": 0}
    order = np.lexsort((rows["label"], -scores, rows["qord"]))
    qords, labels = rows["qord"][order], rows["label"][order]
    starts = np.flatnonzero(np.r_[True, qords[1:] != qords[:-1]])
    rank = np.arange(len(qords)) - np.repeat(starts, np.diff(np.r_[starts, len(qords)])) + 1
    reciprocal = np.where((labels == 1) & (rank <= 10), 1.0 / rank, 0.0)
    best = np.maximum.reduceat(reciprocal, starts)
    return {
        "queries": len(starts),
        "pairs": len(scores),
        "RR@10": round(float(best.mean()), 4),
        "Success@1": round(float((best == 1).mean()), 4),
    }
