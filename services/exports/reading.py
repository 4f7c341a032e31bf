"""What exports are made from: negatives, stored scores, a run, a split's judgements, a whole collection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from services.collections.collection import Collection
from services.errors import CheckFailed, UsageError
from services.exports.format import Encoded, Format, Output, Reads
from services.exports.lookup import Lookup
from services.exports.selected import Selected
from services.mining.exclusion import rule
from services.mining.ranking import Ords
from services.mining.runs import Columns
from services.negatives import reader
from services.negatives.filters.ce_margin import CE_MARGIN
from services.negatives.filters.parse import parse_filter
from services.negatives.mined import SystemRun, choose_runs
from services.negatives.opening import Asked, Opened, open_negatives
from services.negatives.selection import Scored, Witness
from services.scoring.score_parts import Triples
from services.scoring.scores import Scores, open_scores
from services.store import fingerprint


@dataclass(frozen=True)
class Negatives:
    """Candidates of a split and the selection among them."""

    opened: Opened

    def only_scored(self, scored: Scored = "all") -> Negatives:
        """The same, where only what has a score counts."""
        selection = replace(self.opened.selection, scored=scored)
        return replace(self, opened=replace(self.opened, selection=selection))

    @property
    def collection(self) -> Collection:
        """See `Reading`."""
        return self.opened.candidates.collection

    @property
    def split(self) -> str:
        """See `Reading`."""
        return self.opened.candidates.split

    @property
    def described(self) -> dict[str, Any]:
        """See `Reading`."""
        return {
            "all_queries": self.opened.all_queries,
            "systems": {one.system.name: _run(one, self.collection, one.depth) for one in self.opened.runs},
            "exclusion": rule(),
            **self.opened.described,
        }

    @cached_property
    def lookup(self) -> Lookup:
        """Ids and texts."""
        return Lookup(self.collection)

    @property
    def sizes(self) -> list[int]:
        """Queries per block."""
        candidates = self.opened.candidates
        return [len(candidates.queries_of(n)) for n in range(candidates.blocks)]

    def block(self, n: int, witness: Witness | None = None) -> Selected:
        """What is left of block `n`."""
        block, selection = self.opened.candidates.block(n), self.opened.selection
        return Selected(block, selection.keep(block, witness), selection)

    def file(self, encode: Callable[[Selected, Lookup], Encoded], name: str = "") -> Output:
        """An output of bytes."""
        return Output(name, self.sizes, lambda n: encode(self.block(n), self.lookup))

    def table(self, subset: str, encode: Callable[[Selected, Lookup], Encoded]) -> Output:
        """A subset with this split."""
        return replace(self.file(encode, f"{subset}/{self.split}"), table=True)


@dataclass(frozen=True)
class StoredScores:
    """All stored scores of a cross-encoder on live queries and passages."""

    collection: Collection
    scores: Scores
    split: None = None

    @property
    def described(self) -> dict[str, Any]:
        """See `Reading`."""
        scores = self.scores
        return {"ce": {"name": scores.ce, "fingerprint": scores.fingerprint, "scores": scores.content}}

    @cached_property
    def lookup(self) -> Lookup:
        """Ids."""
        return Lookup(self.collection)

    def block(self, n: int) -> Triples:
        """The scores of the n-th range of queries, sorted by (qord, ord)."""
        found = list(self.scores.blocks(n * reader.BLOCK, (n + 1) * reader.BLOCK))
        qords, ords, scores = (
            np.concatenate([np.empty(0, dtype), *columns])
            for dtype, columns in zip(
                (np.int32, np.int32, np.float32), zip(*found, strict=True) if found else ((), (), ()),
                strict=True,
            )
        )  # fmt: skip
        live = self.collection.live_queries[qords] & self.collection.live[ords]
        return Triples(qords[live], ords[live], scores[live])

    def output(
        self, encode: Callable[[Triples, Lookup, int, int], Encoded], name: str = "", *, table: bool = False
    ) -> Output:
        """An output of blocks; `encode` is told the number of the block and how many there are."""
        total = self.collection.state.query_count
        sizes = [min(reader.BLOCK, total - lo) for lo in range(0, total, reader.BLOCK)]
        return Output(name, sizes, lambda n: encode(self.block(n), self.lookup, n, len(sizes)), table)


@dataclass(frozen=True)
class OneRun:
    """What one system returned, nothing left out."""

    collection: Collection
    split: str
    chosen: SystemRun
    depth: int | None
    qords: Ords

    @property
    def described(self) -> dict[str, Any]:
        """See `Reading`."""
        return {"systems": {self.chosen.system.name: _run(self.chosen, self.collection, self.depth)}}

    def output(self, encode: Callable[[Ords, Columns], Encoded]) -> Output:
        """An output of blocks of queries, each with its candidates as deep as asked for."""
        blocks = [self.qords[lo : lo + reader.BLOCK] for lo in range(0, len(self.qords), reader.BLOCK)]

        def encoded(n: int) -> Encoded:
            query, ords, rank, score = self.chosen.run.columns(blocks[n])
            kept = rank <= (self.depth or np.iinfo(np.int32).max)
            return encode(blocks[n], Columns(query[kept], ords[kept], rank[kept], score[kept]))

        return Output("", [len(block) for block in blocks], encoded)


@dataclass(frozen=True)
class Whole:
    """A collection."""

    collection: Collection
    split: None = None

    @property
    def described(self) -> dict[str, Any]:
        """See `Reading`."""
        return {}


@dataclass(frozen=True)
class Judged:
    """A split that has judgements."""

    collection: Collection
    split: str

    @property
    def described(self) -> dict[str, Any]:
        """See `Reading`."""
        return {}


ScoresOf = Literal["none", "shown", "optional", "needed"]
"""What scores are for: nothing; written where there are any; where there are any, only what has one
counts; only what has one counts, and there must be some."""


def negatives(scores: ScoresOf = "none", *, margin: bool = False) -> Reads[Negatives]:
    """Reads negatives.

    Args:
        scores: What the cross-encoder's scores are for.
        margin: Through the margin filter, even where it is not asked for.
    """

    def opened(collection: Collection, asked: Asked) -> Negatives:
        if scores == "needed":
            open_scores(collection, asked.ce)
        if margin:
            asked = replace(asked, filters=_with_margin(asked.filters))
        found = open_negatives(collection, asked, judge="needed" if scores == "none" else "present")
        reading = Negatives(found)
        if scores not in ("optional", "needed") or not found.scores:
            return reading
        # The margin has left out negatives without a score already, but for those that people vouch for.
        return reading.only_scored("positives" if margin else "all")

    return Reads("negatives", opened, needs_scores=margin or scores == "needed", margin=margin)


def with_margin(declared: Format[Any], filters: Sequence[str]) -> list[str]:
    """The filters that an export in a format goes through, of those that are asked for."""
    return _with_margin(filters) if declared.reads.margin else [*filters]


def _with_margin(filters: Sequence[str]) -> list[str]:
    there = any(parse_filter(text).filter is CE_MARGIN for text in filters)
    return [*filters, *([] if there else [CE_MARGIN.name])]


def _scores(collection: Collection, asked: Asked) -> StoredScores:
    return StoredScores(collection, open_scores(collection, asked.ce))


def _one_run(collection: Collection, asked: Asked) -> OneRun:
    runs = choose_runs(collection, asked.split, list(asked.systems), asked.depth)
    if len(runs) > 1:
        raise UsageError(
            f"a run is of one system, not of {', '.join(one.system.name for one in runs)}",
            hint=f"say which: --system {runs[0].system.name}",
        )
    qords = collection.split_qords(asked.split, judged_only=False)
    return OneRun(collection, asked.split, runs[0], asked.depth, qords)


def _split(collection: Collection, asked: Asked) -> Judged:
    collection.split_members(asked.split)
    if not collection.state.qrels.get(asked.split):
        raise CheckFailed(
            f"split '{asked.split}' of collection '{collection.name}' has no judgements",
            hint="add some: `msmctl collection update --qrels SPLIT=FILE`",
        )
    return Judged(collection, asked.split)


SCORES: Reads[StoredScores] = Reads("scores", _scores)
ONE_RUN: Reads[OneRun] = Reads("run", _one_run)
SPLIT: Reads[Judged] = Reads("split", _split)
COLLECTION: Reads[Whole] = Reads("collection", lambda collection, asked: Whole(collection))


def _run(chosen: SystemRun, collection: Collection, depth: int | None) -> dict[str, Any]:
    manifest = chosen.run.manifest
    return {
        "key": chosen.system.reference_key,
        "depth": depth,
        "run": fingerprint(manifest.model_dump(mode="json")),
        "fingerprint": manifest.inputs.system_fingerprint,
        "engine": manifest.inputs.engine,
        "mined_version": manifest.inputs.collection_version,
        "stale": chosen.is_stale(collection),
        **manifest.facts,
    }
