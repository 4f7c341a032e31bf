"""`--refresh`: what of an earlier run still holds, so that only the rest is asked again.

A query's list in a run is a prefix of the ranking of all passages. After an update:

- Exact products: a pair's score is the same bits as long as the shards that hold the two vectors are
  unchanged and the products run on the same kind of device. So the old list, less what was removed or
  lies in changed shards, merged with the best of the changed shards down to the old list's end, is a
  prefix of the new ranking: the same bytes as a full run gives. Queries that are new, whose own vectors
  changed, or whose prefix no longer holds `depth` survivors are asked in full. A run made on another
  kind of device is not kept.
- bm25, and kNN through Elasticsearch: one passage more or less moves idf and the average length, or
  the graph, so every score of every query may change. Old lists hold only while the passages are
  unchanged (new queries, changed judgements); otherwise all queries are asked again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.collections.collection import Collection, state_key
from services.mining.exclusion import Exclusion, depth_cut
from services.mining.ranking import Candidates, Ords, Ranked, Retriever
from services.mining.runs import Inputs, Run, Shard


@dataclass(frozen=True)
class Reuse:
    """What of an old run may be kept.

    Attributes:
        run: The old run.
        queries: The qords whose old lists may be kept.
        changed: Ranges of the shards to be scored anew; empty where all old scores hold.
    """

    run: Run
    queries: Ords
    changed: frozenset[tuple[int, int]] = frozenset()


def reusable(
    run: Run | None,
    asked: Inputs,
    shards: dict[str, list[Shard]],
    facts: dict[str, Any],
    collection: Collection,
) -> Reuse | None:
    """What may be kept of the present run for the run that is asked, or None.

    Args:
        run: The current run.
        asked: Inputs of the run to be made.
        shards: The present vectors' shards ("passages", "queries"); empty without vectors.
        facts: Of the present retriever.
        collection: The state of `asked`.
    """
    if run is None:
        return None
    old = run.manifest.inputs
    comparable = (
        (old.system, old.engine) == (asked.system, asked.engine)
        and old.collection_version <= asked.collection_version
        and collection.store.exists(state_key(old.collection, old.collection_version))
    )
    if not comparable:
        return None
    before = Collection.open(collection.store, old.collection, old.collection_version)
    qords = before.split_qords(old.split, judged_only=not old.all_queries)
    if old.engine == "exact":
        if run.manifest.facts.get("device") != facts["device"]:
            return None  # another kind of device gives other last bits, which must not be ranked together
        changed = _changed(run.manifest.shards.get("passages", []), shards["passages"])
        renewed_queries = _changed(run.manifest.shards.get("queries", []), shards["queries"])
        kept = qords[[not any(lo <= qord < hi for lo, hi in renewed_queries) for qord in qords]]
        everything = len(changed) == len(shards["passages"])
        return None if everything else Reuse(run, kept, changed)
    same_graph = "vector_index" not in facts or all(
        run.manifest.facts.get(key) == facts[key] for key in facts
    )
    same_scores = (
        old.passages_fingerprint == asked.passages_fingerprint
        and old.system_fingerprint == asked.system_fingerprint
    )
    return Reuse(run, qords) if same_graph and same_scores else None


def renewed(
    reuse: Reuse,
    changed: Retriever | None,
    exclusion: Exclusion,
    live: npt.NDArray[np.bool_],
    qords: Ords,
    depth: int,
) -> dict[int, Candidates]:
    """The new lists of those queries whose old ones suffice; the others are to be asked in full.

    Args:
        reuse: What may be kept.
        changed: The system over the changed shards only; None where there are none.
        exclusion: The present judgements.
        live: bool per ord, the present tombstones.
        qords: Queries, ascending.
        depth: How many candidates shall survive.
    """
    wanted = np.intersect1d(qords, reuse.queries)
    old = [candidates for candidates in reuse.run.of(wanted) if len(candidates.ords)]
    stale = _stale(live, reuse.changed)
    kept = [Candidates(c.qord, c.ords[~stale[c.ords]], c.scores[~stale[c.ords]]) for c in old]
    if changed is not None and old:
        longest = max(len(candidates.ords) for candidates in old)
        added = changed.search(np.array([c.qord for c in old], np.int32), longest)
        kept = [_merged(part, new, whole, longest) for part, new, whole in zip(kept, added, old, strict=True)]
    lists = {}
    for candidates, reasons in zip(kept, exclusion.reasons(kept), strict=True):
        cut = depth_cut(reasons, depth)
        if cut is not None:
            lists[candidates.qord] = candidates.cut(cut)
    return lists


def _merged(kept: Candidates, added: Ranked, old: Candidates, asked: int) -> Candidates:
    """Old and new candidates in order, down to where both lists are known."""
    ends = [(old.scores[-1], -old.ords[-1])]
    if len(added.ords) == asked:  # there may be more below
        ends.append((added.scores[-1], -added.ords[-1]))
    score, ord_ = max(ends)
    ords, scores = np.concatenate([kept.ords, added.ords]), np.concatenate([kept.scores, added.scores])
    order = np.lexsort((ords, -scores))
    ords, scores = ords[order], scores[order]
    known = (scores > score) | ((scores == score) & (-ords >= ord_))
    return Candidates(kept.qord, ords[known], scores[known])


def _changed(before: list[Shard], now: list[Shard]) -> frozenset[tuple[int, int]]:
    """Ranges of the present shards that were not there before as they are now."""
    return frozenset((lo, hi) for lo, hi, sha in now if (lo, hi, sha) not in set(before))


def _stale(live: npt.NDArray[np.bool_], changed: frozenset[tuple[int, int]]) -> npt.NDArray[np.bool_]:
    stale = ~live
    for lo, hi in changed:
        stale[lo:hi] = True
    return stale
