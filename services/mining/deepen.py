"""Ask a system deeper until enough candidates of every query survive exclusion.

Each query's list ends at the candidate with which `depth` survive (or with the system's last one), so
it does not depend on how deep was asked in between, nor on which queries were asked together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from services.mining.exclusion import Exclusion, depth_cut
from services.mining.ranking import Candidates, Ords, Retriever

_SPARE = 10  # asked for beyond what the judgements are known to take away
_HELD = 1 << 22  # candidates in memory at a time (8 bytes each)


def deepen(
    retriever: Retriever,
    exclusion: Exclusion,
    qords: Ords,
    depth: int,
    done: Callable[[int], None] = lambda queries: None,
) -> Iterator[tuple[Candidates, bool]]:
    """The candidates of each query, in the order of `qords`, and whether `depth` of them survive.

    Args:
        retriever: The system.
        exclusion: What does not count towards the depth.
        qords: Queries.
        depth: How many candidates shall survive.
        done: Called with the number of queries finished so far.
    """
    known = max((exclusion.known(int(qord)) for qord in qords), default=0)
    first = depth + min(known, depth) + _SPARE
    step = max(1, min(retriever.batch, _HELD // first))
    for start in range(0, len(qords), step):
        batch = qords[start : start + step]
        finished: dict[int, tuple[Candidates, bool]] = {}
        k = min(first, retriever.limit)
        while len(finished) < len(batch):
            open_ = np.array([qord for qord in batch if int(qord) not in finished], np.int32)
            at_once = max(1, _HELD // max(k, 1))
            for at in range(0, len(open_), at_once):
                finished |= _settled(retriever, exclusion, open_[at : at + at_once], k, depth)
            k = min(4 * k, retriever.limit)
        done(start + len(batch))
        yield from (finished[int(qord)] for qord in batch)


def _settled(
    retriever: Retriever, exclusion: Exclusion, qords: Ords, k: int, depth: int
) -> dict[int, tuple[Candidates, bool]]:
    """The queries whose list is complete with `k` candidates asked for."""
    found = zip(qords, retriever.search(qords, k), strict=True)
    lists = [Candidates(int(qord), *ranked) for qord, ranked in found]
    settled = {}
    for candidates, reasons in zip(lists, exclusion.reasons(lists), strict=True):
        cut = depth_cut(reasons, depth)
        if cut is not None:
            settled[candidates.qord] = candidates.cut(cut), True
        elif len(candidates.ords) < k or k >= retriever.limit:
            settled[candidates.qord] = candidates, False
    return settled
