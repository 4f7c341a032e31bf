"""One document per (query, candidate): which systems returned it, scores, verdict and why."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.elastic.bulk import Document
from services.mining.ranking import Ords
from services.negatives.block import CandidateBlock, Mask
from services.negatives.left_out import LeftOut
from services.negatives.opening import Opened
from services.negatives.verdicts import Verdict, why
from services.publishing.publication import Publication
from services.store.fingerprint import short

_QUERIES = 64
"""Queries whose candidates are in memory at a time."""


@dataclass(frozen=True)
class Publisher:
    """Makes the documents of one publication."""

    opened: Opened
    meta: Publication

    def documents(self, qords: Ords) -> Iterator[Document]:
        """All candidates of some queries, ascending by query and passage; always the same."""
        for lo in range(0, len(qords), _QUERIES):
            block = self.opened.candidates.of(qords[lo : lo + _QUERIES])
            if len(block):
                yield from self._of_block(block)

    def _of_block(self, block: CandidateBlock) -> Iterator[Document]:
        collection = self.opened.candidates.collection
        left_out = LeftOut()
        kept = self.opened.selection.keep(block, left_out)
        rows = np.argsort(block.pair, kind="stable")
        starts = np.searchsorted(block.pair[rows], np.arange(len(block.pairs) + 1)).tolist()
        pids = collection.pids_of(block.pairs.ords)
        texts = collection.texts_of(block.pairs.ords) if self.meta.texts else None
        lo, hi = int(block.qords[0]), int(block.qords[-1]) + 1
        queries = collection.read_queries(lo, hi, ["text"])["text"].to_pylist()
        for pair, pid in enumerate(pids):
            query = int(block.pairs.query[pair])
            qid = block.qids[query]
            source = {
                "@timestamp": self.meta.created,
                "collection": self.meta.collection,
                "split": self.meta.split,
                "qid": qid,
                "query": queries[int(block.qords[query]) - lo],
                "pid": pid,
                **({"text": texts[pair]} if texts is not None else {}),
                **self._judged(block, pair),
                **self._returned(block, rows[starts[pair] : starts[pair + 1]].tolist(), kept, left_out),
            }
            yield document_id(qid, pid), source

    def _judged(self, block: CandidateBlock, pair: int) -> dict[str, Any]:
        candidates, scores = self.opened.candidates, self.opened.scores
        ord_, qord = int(block.pairs.ords[pair]), int(block.qords[block.pairs.query[pair]])
        mark = candidates.marks.reason(qord, ord_) if block.pairs.marked[pair] else None
        numbers = {"ce_score": float(block.pairs.ce[pair]), "margin": float(block.margin[pair])}
        return {
            **({"ce": scores.ce, "ce_fingerprint": short(scores.fingerprint)} if scores else {}),
            **{name: value for name, value in numbers.items() if np.isfinite(value)},
            "verdict": Verdict(block.pairs.verdict[pair]).label,
            "reason": why(block, pair, candidates.rules, mark),
            "by_person": bool(block.pairs.marked[pair]),
        }

    def _returned(
        self, block: CandidateBlock, rows: list[int], kept: Mask, left_out: LeftOut
    ) -> dict[str, Any]:
        """By slug, what each system made of a candidate, and what the selection made of it."""
        systems: dict[str, dict[str, Any]] = {}
        for row in rows:
            system = block.systems[block.system[row]]
            published = self.meta.systems[system.slug]
            systems[system.slug] = {
                "rank": int(block.rank[row]),
                "score": float(block.score[row]),
                "negative": bool(kept[row]),
                "run": published.run,
                "model": published.model,
            }
        steps = dict.fromkeys(left_out.by[row] for row in rows if row in left_out.by)
        return {
            "system": [self.meta.systems[slug].name for slug in systems],
            "negative_of": [
                self.meta.systems[slug].name for slug, made in systems.items() if made["negative"]
            ],
            "returned_by": len(systems),
            "best_rank": min(made["rank"] for made in systems.values()),
            "systems": systems,
            "negative": bool(kept[rows].any()),
            **({"left_out_by": list(steps)} if steps else {}),
        }


def document_id(qid: str, pid: str) -> str:
    """The `_id` of a pair: whatever runs twice writes the same document. Ids may be longer than an `_id`."""
    return hashlib.blake2b(f"{len(qid)}:{qid}{pid}".encode(), digest_size=16).hexdigest()
