"""What may not stand in one batch: there, every passage of another example is a query's negative."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.collections.collection import Ords
from services.distinct import distinct
from services.mining.ranking import pair_keys
from services.mining.sketches import Sketches
from services.negatives.reader import Candidates
from services.ranges import Index, ranges
from services.training.methods import Rows

_BATCH = 1 << 17  # passages whose sketches are in memory at a time: about 1 KB each of a hundred words


def kept_apart(candidates: Candidates, examples: Rows) -> Rows:
    """Queries and the passages of any example that are no negatives of theirs.

    Those are positives, what was judged with any grade above zero, and passages with the same text as a
    positive. Near copies are not looked for: among the few passages of a batch they are rare.

    Args:
        candidates: What the examples were made from.
        examples: Columns `qord`, `positive`, `negative_1`, ….

    Returns:
        Columns `qord` and `ord`, int32, by `qord`, each pair once.
    """
    passages = distinct(np.concatenate([column for name, column in examples.items() if name != "qord"]))
    qords, ords, positive = candidates.judged.pairs(distinct(examples["qord"]))
    of = np.concatenate([qords[positive], examples["qord"]])
    positives = np.concatenate([ords[positive], examples["positive"]])
    rows, copies = _copies(Sketches(candidates.collection), positives, passages)
    pairs = distinct(
        np.concatenate([pair_keys(qords, ords), pair_keys(of, positives), pair_keys(of[rows], copies)])
    )
    found = {"qord": (pairs >> 32).astype(np.int32), "ord": pairs.astype(np.int32)}
    there = np.isin(found["ord"], passages)
    return {name: column[there] for name, column in found.items()}


def _copies(sketches: Sketches, ords: Ords, passages: Ords) -> tuple[Index, Ords]:
    """Passages with the same text as one of `ords`: positions in `ords`, and beside each such a passage."""
    digests = _digests(sketches, passages)
    order = np.argsort(digests, kind="stable")
    wanted = _digests(sketches, ords)
    lo, hi = (np.searchsorted(digests[order], wanted, side) for side in ("left", "right"))
    rows = np.repeat(np.arange(len(ords)), hi - lo)
    return rows, passages[order[ranges(lo, hi - lo)]]


def _digests(sketches: Sketches, ords: Ords) -> npt.NDArray[np.uint64]:
    """Of the texts' normal forms, in the order of `ords`."""
    wanted = distinct(ords)
    parts = [sketches.of(wanted[at : at + _BATCH]).digests for at in range(0, len(wanted), _BATCH)]
    return np.concatenate([np.empty(0, np.uint64), *parts])[np.searchsorted(wanted, ords)]
