"""Finding queries as people look for them: by words, or the one beside another."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.collections.collection import Collection, Ords
from services.errors import NotFound

Found = list[dict[str, str]]


def with_words(collection: Collection, split: str, words: str, limit: int) -> Found:
    """Queries of a split whose text or id holds every word, whatever its case, in order of qord.

    Args:
        collection: Whose queries.
        split: One of its splits.
        words: Separated by white space; none: all queries.
        limit: At most so many.

    Returns:
        `qid` and `text` of each.

    Raises:
        NotFound: there is no such split.
    """
    qords = collection.split_qords(split, judged_only=False)
    table = collection.read_queries(0, collection.state.query_count, ["qid", "text"]).take(pa.array(qords))
    holds = np.ones(len(qords), np.bool_)
    for word in words.split():
        inside = [
            pc.match_substring(table[column], word, ignore_case=True).to_numpy() for column in ("qid", "text")
        ]
        holds &= inside[0] | inside[1]
    return _shown(collection, qords[holds][:limit])


def beside(collection: Collection, split: str, qid: str, step: int) -> Found:
    """The query `step` places after (before, where negative) another one of the split; none at its ends.

    Raises:
        NotFound: there is no such split, or the split has no such query.
    """
    qords = collection.split_qords(split, judged_only=False)
    here = int(np.searchsorted(qords, collection.qords_of([qid])[0]))
    if here >= len(qords) or qords[here] != collection.qords_of([qid])[0]:
        raise NotFound(f"split '{split}' of collection '{collection.name}' has no query '{qid}'")
    there = here + step
    return _shown(collection, qords[there : there + 1]) if 0 <= there < len(qords) else []


def _shown(collection: Collection, qords: Ords) -> Found:
    table = collection.read_queries(0, collection.state.query_count, ["qid", "text"]).take(pa.array(qords))
    return [{"qid": row["qid"], "text": row["text"]} for row in table.to_pylist()]
