"""Queries that are there more than once: what answers one of them is no negative of the other."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.collections.collection import Collection, Ords


def same_text(collection: Collection) -> dict[int, Ords]:
    """By live query that shares its text, character by character, with another one: all that have it.

    Returns:
        Qords, int32, ascending; the same array for each of them.
    """
    texts = collection.read_queries(0, collection.state.query_count, ["text"])["text"]
    live = np.flatnonzero(collection.live_queries).astype(np.int32)
    codes = pc.dictionary_encode(texts.take(pa.array(live))).combine_chunks()
    groups = np.asarray(codes.indices)
    shared = np.bincount(groups, minlength=1)[groups] > 1
    order = np.argsort(groups[shared], kind="stable")
    qords, groups = live[shared][order], groups[shared][order]
    found: dict[int, Ords] = {}
    for members in np.split(qords, np.flatnonzero(np.diff(groups)) + 1):
        found |= dict.fromkeys(members.tolist(), members)
    return found
