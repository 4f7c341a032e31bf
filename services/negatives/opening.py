"""What people ask for, opened: runs, scores, marks and filters that fit together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from services.collections.collection import Collection
from services.errors import CheckFailed, NotFound
from services.negatives.cosines import Cosines
from services.negatives.filters.filter import CE, Sources
from services.negatives.filters.parse import parse_relabel
from services.negatives.filters.percent_of_positive import COSINE
from services.negatives.marks import Marks
from services.negatives.mined import SystemRun, choose_runs
from services.negatives.reader import Candidates, Scored
from services.negatives.sampling import Strategy
from services.negatives.selection import Selection
from services.scoring.scores import Scores, list_scores, open_scores
from services.systems.registry import Registry
from services.systems.system import System

Judge = Literal["needed", "present", "clear"]
"""When scores are read though `--ce` names none: where a filter needs them; also where there are any, as
verdicts show them (several cross-encoders: an error); also where it is clear whose."""
NO_MARKS = "ignored"
"""In manifests: people's marks were left out of account on purpose."""


@dataclass(frozen=True)
class Asked:
    """Which negatives, as the options of the command line say it.

    Attributes:
        split: Split of the queries.
        systems: Names; empty: all that were mined.
        depth: Negatives per query and system; None: as deep as mined.
        ce: Cross-encoder whose scores are read; None: the only one there is, where scores are needed.
        filters: As `--filter` takes them, in order.
        relabel: As `--relabel` takes it.
        sample: Which of the negatives that filters leave; with `num`.
        num: How many of them per query.
        seed: Of `sample random`.
        marks: People's marks; None: they are not taken into account (`--no-marks`).
    """

    split: str
    systems: Sequence[str] = ()
    depth: int | None = None
    ce: str | None = None
    filters: Sequence[str] = ()
    relabel: str | None = None
    sample: Strategy | None = None
    num: int | None = None
    seed: int = 0
    marks: Marks | None = None


@dataclass(frozen=True)
class Opened:
    """Candidates and the selection of negatives among them.

    Attributes:
        runs: In registry order.
        scores: Of the cross-encoder; None where none are read.
        unread: Cross-encoders that have scores of which none are read, as it is not clear whose to take.
        all_queries: Also queries without a positive: where all runs have them.
        described: All that decides besides runs and collection, small JSON for manifests.
    """

    candidates: Candidates
    selection: Selection
    runs: list[SystemRun]
    scores: Scores | None
    unread: tuple[str, ...]
    all_queries: bool
    described: dict[str, Any]


def open_negatives(collection: Collection, asked: Asked, *, judge: Judge = "needed") -> Opened:
    """Open what is needed; nothing is encoded or scored for it.

    Args:
        collection: The present state.
        asked: What people ask for.
        judge: When scores are read.

    Raises:
        UsageError: options contradict each other, or what there is.
        NotFound: runs, scores or vectors are missing; names the command that makes them.
        CheckFailed: no query of the split has a positive.
    """
    selection = Selection.parse(asked.filters, sample=asked.sample, num=asked.num, seed=asked.seed)
    relabel = None if asked.relabel is None else parse_relabel(asked.relabel)
    runs = choose_runs(collection, asked.split, list(asked.systems), asked.depth)
    needed = CE in selection.needs or relabel is not None or asked.ce is not None
    there = () if needed or judge == "needed" else tuple(sorted({one.ce for one in list_scores(collection)}))
    unread = there if judge == "clear" and len(there) > 1 else ()
    scores = open_scores(collection, asked.ce) if needed or (there and not unread) else None
    sources = _sources(collection, runs, scores)
    selection = selection.prepared(sources, [one.depth for one in runs])
    all_queries = all(one.run.manifest.inputs.all_queries for one in runs)
    candidates = Candidates(
        collection,
        asked.split,
        [(one.system, one.run) for one in runs],
        all_queries=all_queries,
        scores=scores,
        marks=asked.marks,
        rules=selection.rules(sources.margin, relabel),
        named_scores=_named(collection, sources.registry, selection),
    )
    if not len(candidates.qords):
        raise CheckFailed(
            f"split '{asked.split}' of collection '{collection.name}' has no query with a positive",
            hint="add qrels with `msmctl collection update`, or mine with --all-queries",
        )
    return Opened(
        candidates=candidates,
        selection=selection,
        runs=runs,
        scores=scores,
        unread=unread,
        all_queries=all_queries,
        described={
            "filters": selection.described,
            "ce": None if scores is None else _identity(scores),
            "relabel": relabel,
            "marks": NO_MARKS if asked.marks is None else asked.marks.fingerprint,
        },
    )


def _sources(collection: Collection, runs: Sequence[SystemRun], scores: Scores | None) -> Sources:
    return Sources(
        systems=tuple(one.system for one in runs),
        registry=Registry.load(collection.store),
        ce=scores.ce if scores else None,
        margin=None if scores is None else own_margin(collection, scores),
        collection=collection.name,
    )


def own_margin(collection: Collection, scores: Scores) -> float | None:
    """The margin, in logits, that goes with the cross-encoder; None where none is known."""
    from services.cross_encoders.registry import CrossEncoders

    if scores.folder.by.kind == "imported":
        return None
    known = {one.name: one.margin for one in CrossEncoders.load(collection.store)}
    return known.get(scores.ce)  # a model's scores outlive its entry


def _identity(scores: Scores) -> dict[str, str]:
    return {"name": scores.ce, "fingerprint": scores.fingerprint, "scores": scores.content}


def _named(collection: Collection, registry: Registry, selection: Selection) -> dict[str, Scored]:
    """The scores that filters ask for by name, but the cross-encoder's."""
    return {
        name: _cosines(collection, registry.get(name.removeprefix(COSINE)))
        for name in sorted(selection.needs - {CE})
    }


def _cosines(collection: Collection, system: System) -> Scored:
    from services.encoding.vectors import open_vectors

    vectors = open_vectors(collection, system)
    if vectors is None:
        raise NotFound(
            f"collection '{collection.name}' has no vectors of '{system.name}'",
            hint=f"msmctl encode --collection {collection.name} --system {system.name}",
        )
    return Cosines(vectors)
