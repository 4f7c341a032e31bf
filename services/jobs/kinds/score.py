"""Score: every pair of query and candidate once, by one cross-encoder.

A chunk is a range of the queries that are asked for, with a bounded amount of work; what it does is known
as soon as it is done, so that a job that is cancelled loses nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from services.collections.collection import Collection, Ords
from services.cross_encoders.cross_encoder import CrossEncoder
from services.cross_encoders.models import InstalledModel, required
from services.cross_encoders.profile import profile_of
from services.cross_encoders.registry import CrossEncoders
from services.errors import Conflict
from services.jobs.kind import Chunk, Context, DeadRow, Estimate, Kind, Queue, Receipt, Spec
from services.meter import PeakMemory
from services.negatives.marks import Marks
from services.scoring.identity import scored_by
from services.scoring.margins import margin_quantiles
from services.scoring.score_folder import ScoreFolder, ScorePart
from services.scoring.score_parts import Triples, write_part
from services.scoring.scorer import load_model
from services.scoring.scores import Scores
from services.scoring.select import Asked, Wanted, to_do
from services.scoring.survey import Survey, measured
from services.scoring.tokenizer import PairTokenizer
from services.systems.registry import Registry

# Work per chunk: one to two minutes on two cores; a few on a GPU, whose speed varies more.
_CHUNK_FLOPS = {"cpu": 1e13, "cuda": 1e15}
_PAIR_BYTES = 10  # of a pair in a part, about
_TOKEN_BYTES = 16  # of memory that a token of a chunk's texts takes
_LOOKS = 3  # at every pair, besides the plan's: by the chunks, and twice to finish


class ScoreSpec(Spec):
    """What some systems returned for a split's queries, by one model."""

    kind: Literal["score"] = "score"
    ce: str
    fingerprint: str
    """Of all that decides a score: a job is about one content of the model."""
    split: str
    systems: tuple[str, ...] = ()
    top: int | None = Field(None, ge=1)
    queries: int | None = Field(None, ge=1)
    seed: int = Field(0, ge=0)
    all_queries: bool = False
    marked: tuple[tuple[str, str], ...] = ()
    """(qid, pid) that people call positive: as it was when the job was made, so that it is one job."""

    @property
    def title(self) -> str:
        """Such as `score squad/train ce-squad`."""
        return f"score {self.collection}/{self.split} {self.ce}"

    @classmethod
    def of(
        cls,
        collection: Collection,
        ce: str,
        systems: Sequence[str] = (),
        marks: Marks | None = None,
        **asked: Any,
    ) -> ScoreSpec:
        """The spec, on a collection's present state, with the model that the cross-encoder has now.

        Args:
            collection: The collection.
            ce: Name in any spelling.
            systems: Likewise; none: all that were mined.
            marks: By people; what they call positive is scored too.
            asked: The other fields.

        Raises:
            NotFound: the model, a system or its run is missing: the hint has the command that makes it.
        """
        entry = CrossEncoders.load(collection.store).get(ce)
        registry = Registry.load(collection.store)
        spec = cls(
            collection=collection.name,
            collection_version=collection.state.version,
            ce=entry.name,
            fingerprint=scored_by(entry, required(collection.store, entry)).fingerprint,
            systems=tuple(dict.fromkeys(registry.get(system).name for system in systems)),
            marked=marks.positives if marks else (),
            **asked,
        )
        Wanted(collection, spec.asked)
        return spec

    @property
    def asked(self) -> Asked:
        """Which pairs."""
        return Asked(
            self.split, self.systems, self.top, self.queries, self.seed, self.all_queries, self.marked
        )


@dataclass(frozen=True)
class _Work:
    """What every step of a job starts from."""

    context: Context
    spec: ScoreSpec
    collection: Collection
    ce: CrossEncoder
    model: InstalledModel

    @classmethod
    def of(cls, context: Context, spec: ScoreSpec) -> _Work:
        ce = CrossEncoders.load(context.store).get(spec.ce)
        model = required(context.store, ce)
        if scored_by(ce, model).fingerprint != spec.fingerprint:
            raise Conflict(
                f"{spec.title}: another model of '{ce.name}' was pulled, or its entry changed, since",
                hint="score again: what the earlier model scored stays apart",
            )
        collection = Collection.open(context.store, spec.collection, spec.collection_version)
        return cls(context, spec, collection, ce, model)

    @cached_property
    def wanted(self) -> Wanted:
        return Wanted(self.collection, self.spec.asked)

    @property
    def folder(self) -> ScoreFolder:
        return ScoreFolder(self.context.store, self.collection.name, scored_by(self.ce, self.model))

    def known(self) -> Scores | None:
        """What need not be scored again; nothing with `--force`."""
        return None if self.spec.nonce else Scores(self.folder)

    @cached_property
    def survey(self) -> Survey:
        return Survey.of(self.wanted, self.known())

    @cached_property
    def tokens(self) -> float:
        """Tokens of a pair, about."""
        folder = self.model.local_folder(self.context.store)
        tokenizer = PairTokenizer(folder, self.model.own, profile_of(self.ce, self.model.own))
        return self.survey.tokens(self.wanted, tokenizer)

    @property
    def chunk_pairs(self) -> int:
        """Pairs of a chunk, about: time and memory bound them."""
        own = self.model.own
        flops = self.tokens * (own.flops_per_token + 4 * self.tokens * own.width)
        memory = self.context.settings.memory_mb << 20
        return int(max(1.0, min(_CHUNK_FLOPS[self.device] / flops, memory / (_TOKEN_BYTES * self.tokens))))

    def ranges(self) -> list[tuple[int, int]]:
        """Queries cut by the work that is left of them; all in one range where nothing bounds it."""
        return _cut(self.survey.left, self.chunk_pairs) if self.survey.todo else []

    @property
    def device(self) -> str:
        from services.models.torch_runtime import prepared

        return prepared(self.context.settings.device, self.context.settings.threads).type

    @property
    def speed_key(self) -> str:
        """Where the model's speed, as last measured, lies."""
        return f"{self.model.folder}/speed.json"


class ScoreKind(Kind[ScoreSpec]):
    """Limits fit a GPU's chunk on a machine whose processor does it after all."""

    name = "score"
    queue: ClassVar[Queue] = "gpu"
    soft_limit = 3600.0
    hard_limit = 3660.0
    spec_type = ScoreSpec

    def mends_dead_rows(self, spec: ScoreSpec) -> str | None:
        """Pairs that could not be computed are known as such: only `--force` tries them again."""
        return f"msmctl score --collection {spec.collection} --split {spec.split} --ce {spec.ce} --force"

    def fresh(self, context: Context, spec: ScoreSpec) -> str | None:
        """Scores of all pairs by exactly this model."""
        work = _Work.of(context, spec)
        known, unique = Scores(work.folder), 0
        for pairs in work.wanted.blocks():
            if to_do(pairs, known).any():
                return None
            unique += len(pairs.ords)
        return f"{unique:,} pairs are scored already"

    def plan(self, context: Context, spec: ScoreSpec) -> list[Chunk]:
        """Ranges of queries, each with about the same work left."""
        ranges = _Work.of(context, spec).ranges()
        return [Chunk(n=n, lo=lo, hi=hi) for n, (lo, hi) in enumerate(ranges)]

    def run_chunk(self, context: Context, spec: ScoreSpec, chunk: Chunk) -> Receipt:
        """Score what is left of a range of queries, and make it known."""
        work = _Work.of(context, spec)
        facts, qords, ords = _left(work, chunk)
        if not len(ords):
            return Receipt(facts=facts)
        scorer = load_model(context.store, work.ce, work.model, context.settings)

        def progress(done: int) -> None:
            context.checkpoint((chunk.hi - chunk.lo) * done // len(ords))

        scored = scorer.pairs(work.collection, qords, ords, scale=context.batch_scale, progress=progress)
        speed = scored.tokens / max(scored.seconds, 1e-9)
        context.log(f"{len(ords):,} pairs, {speed:,.0f} tokens/s on {scorer.device}")
        part = write_part(work.folder, Triples(qords, ords, scored.scores))
        work.folder.add([ScorePart.now(part, device=scorer.device, dead=len(scored.dead))])
        return Receipt(
            rows=len(ords),
            bytes=part.bytes,
            parts=[part],
            dead=_dead_rows(work.collection, qords, ords, scored.dead),
            facts=facts | {"tokens": scored.tokens, "seconds": scored.seconds, "device": scorer.device},
        )

    def finish(self, context: Context, spec: ScoreSpec, receipts: Sequence[Receipt]) -> dict[str, Any]:
        """See that nothing is missing, merge what lies in layers, measure.

        Raises:
            Conflict: the runs were mined anew while the job ran.
        """
        work = _Work.of(context, spec)
        scores = Scores(work.folder)
        left = sum(int(to_do(pairs, scores).sum()) for pairs in work.wanted.blocks())
        if left:
            raise Conflict(
                f"{spec.title}: {left:,} pairs have no score: the runs were mined anew meanwhile",
                hint="score again: only these are computed",
            )
        if scores.compact():
            scores = Scores(work.folder)
        total = {
            name: sum(receipt.facts.get(name, 0) for receipt in receipts)
            for name in ("asked", "unique", "already", "tokens", "seconds")
        }
        scored = sum(receipt.rows for receipt in receipts)
        if total["tokens"]:
            device = next(receipt.facts["device"] for receipt in receipts if "device" in receipt.facts)
            speed = {"device": device, "tokens_per_second": round(total["tokens"] / total["seconds"], 1)}
            context.store.write_json(work.speed_key, speed)
        return {
            "collection": spec.collection,
            "split": spec.split,
            "ce": spec.ce,
            "folder": work.folder.key,
            "asked": total["asked"],
            "unique": total["unique"],
            "already": total["already"],
            "scored": scored,
            "dead": sum(len(receipt.dead) for receipt in receipts),
            "seconds": round(sum(receipt.seconds for receipt in receipts), 1),
            "pairs_per_second": round(scored / total["seconds"], 1) if total["seconds"] else None,
            "margin": work.ce.margin,
            "margins": margin_quantiles(work.wanted, scores) if work.ce.margin is None else None,
        }

    def estimate(self, context: Context, spec: ScoreSpec) -> Estimate:
        """Pairs and bytes; seconds once this model has scored something."""
        work = _Work.of(context, spec)
        speed = context.store.read_json(work.speed_key)
        counted = _counted(work)
        return counted.model_copy(
            update={"seconds": (counted.tokens or 0) / speed["tokens_per_second"] if speed else None}
        )

    def measure(self, context: Context, spec: ScoreSpec) -> Estimate:
        """The same with the speed of model and tokenizer, from a few seconds' work."""
        from services.models.torch_runtime import device_name

        peak, began = PeakMemory(), time.perf_counter()
        work = _Work.of(context, spec)
        counted = _counted(work)
        seconds, began = time.perf_counter() - began, time.perf_counter()
        if not counted.rows:
            return counted.model_copy(update={"seconds": seconds})
        scorer = load_model(context.store, work.ce, work.model, context.settings)
        startup = time.perf_counter() - began
        pace = measured(work.wanted, scorer, work.survey)
        seconds += _LOOKS * work.survey.seconds + pace.texts + (counted.tokens or 0) * pace.token
        chunk = min(counted.rows, work.chunk_pairs) * work.tokens * _TOKEN_BYTES
        return counted.model_copy(
            update={
                "seconds": seconds,
                "startup": startup,
                "device": device_name(scorer.device),
                "memory": peak.bytes + int(chunk),
                "device_memory": peak.device_bytes,
            }
        )


def _counted(work: _Work) -> Estimate:
    """What can be counted, and tokens from a sample."""
    survey = work.survey
    return Estimate(
        chunks=len(work.ranges()),
        rows=survey.todo,
        bytes=survey.todo * _PAIR_BYTES,
        queries=len(work.wanted.qords),
        passages=int(survey.passages.sum()),
        pairs=survey.asked,
        unique_pairs=survey.unique,
        tokens=round(survey.todo * work.tokens) if survey.todo else 0,
    )


def _left(work: _Work, chunk: Chunk) -> tuple[dict[str, Any], Ords, Ords]:
    """The pairs of a chunk that are to be scored, and what was asked for."""
    known = work.known()
    qords, ords = [np.empty(0, np.int32)], [np.empty(0, np.int32)]
    asked = unique = 0
    for pairs in work.wanted.blocks(chunk.lo, chunk.hi):
        rows = to_do(pairs, known)
        asked, unique = asked + pairs.asked, unique + len(rows)
        qords.append(pairs.qords[rows])
        ords.append(pairs.ords[rows])
    left = np.concatenate(ords)
    facts = {"asked": asked, "unique": unique, "already": unique - len(left)}
    return facts, np.concatenate(qords), left


def _cut(left: np.ndarray[tuple[int], np.dtype[np.int64]], pairs: int) -> list[tuple[int, int]]:
    """Ranges of queries with about so many pairs left, all queries covered; a query is never divided."""
    ranges: list[tuple[int, int]] = []
    ends, lo, done = np.cumsum(left), 0, 0
    while lo < len(left):
        hi = max(int(np.searchsorted(ends, done + pairs, side="right")), lo + 1)
        ranges.append((lo, hi))
        lo, done = hi, int(ends[hi - 1])
    return ranges


def _dead_rows(collection: Collection, qords: Ords, ords: Ords, dead: dict[int, str]) -> list[DeadRow]:
    """Dead pairs by the user's ids."""
    places = sorted(dead)
    pids = collection.pids_of(ords[places]) if places else []
    return [
        DeadRow(row=f"{collection.qids[int(qords[n])]} {pid}", reason=dead[n])
        for n, pid in zip(places, pids, strict=True)
    ]
