"""One query's candidates with all that is known of each: who returned it, scores, verdict and why."""

from __future__ import annotations

from typing import Any

import numpy as np

from services.collections.collection import Collection
from services.errors import NotFound
from services.mining.runs import open_run
from services.negatives.block import CandidateBlock, Mask
from services.negatives.left_out import LeftOut
from services.negatives.opening import Opened
from services.negatives.verdicts import Verdict, why
from services.systems.registry import Registry


def find_split(collection: Collection, qid: str) -> str:
    """A split that has the query and was mined; else one that has it.

    Raises:
        NotFound: there is no such query, or no split has it.
    """
    qord = int(collection.qords_of([qid])[0])
    having = [
        split
        for split in sorted(collection.state.splits, key=lambda name: (name != "train", name))
        if qord in collection.split_members(split)
    ]
    if qord < 0 or not having:
        raise NotFound(
            f"collection '{collection.name}' has no query '{qid}'",
            hint=f"`msmctl collection show {collection.name}` says what it has",
        )
    registry = Registry.load(collection.store)
    mined = (split for split in having if any(open_run(collection, split, one.name) for one in registry))
    return next(mined, having[0])


def show(opened: Opened, qid: str) -> dict[str, Any]:
    """The shape of `negatives show --json`.

    Raises:
        NotFound: the collection has no such query.
    """
    candidates = opened.candidates
    collection = candidates.collection
    qords = collection.qords_of([qid])
    if qords[0] < 0:
        raise NotFound(f"collection '{collection.name}' has no query '{qid}'")
    block = candidates.of(qords)
    left_out = LeftOut()
    kept = opened.selection.keep(block, left_out)
    positives = block.positives
    texts = collection.read_queries(int(qords[0]), int(qords[0]) + 1, ["text"])["text"]
    return {
        "collection": collection.name,
        "split": candidates.split,
        "qid": qid,
        "query": texts[0].as_py(),
        "ce": opened.scores.ce if opened.scores else None,
        "filters": opened.described["filters"],
        "positives": [
            {"pid": pid, "labelled": bool(labelled), "ce_score": _number(ce), "text": text}
            for pid, labelled, ce, text in zip(
                collection.pids_of(positives.ords),
                positives.labelled,
                positives.ce,
                collection.texts_of(positives.ords),
                strict=True,
            )
        ],
        "candidates": _candidates(opened, block, kept, left_out.by),
    }


def _candidates(opened: Opened, block: CandidateBlock, kept: Mask, left_out: dict[int, str]) -> list[Any]:
    collection, candidates = opened.candidates.collection, opened.candidates
    order = block.merged(np.ones(len(block), np.bool_))
    ords = block.pairs.ords[order]
    found = []
    for pair, pid, text in zip(
        order.tolist(), collection.pids_of(ords), collection.texts_of(ords), strict=True
    ):
        rows = np.flatnonzero(block.pair == pair).tolist()
        mark = candidates.marks.reason(int(block.qords[0]), int(block.pairs.ords[pair]))
        found.append(
            {
                "pid": pid,
                "systems": {
                    block.systems[block.system[row]].name: {
                        "rank": int(block.rank[row]),
                        "score": float(block.score[row]),
                        "negative": bool(kept[row]),
                        "left_out_by": left_out.get(row),
                    }
                    for row in rows
                },
                "ce_score": _number(block.pairs.ce[pair]),
                "margin": _number(block.margin[pair]),
                "verdict": Verdict(block.pairs.verdict[pair]).label,
                "reason": why(block, pair, candidates.rules, mark),
                "negative": bool(kept[rows].any()),
                "text": text,
            }
        )
    return found


def _number(value: np.floating[Any]) -> float | None:
    return None if np.isnan(value) else float(value)
