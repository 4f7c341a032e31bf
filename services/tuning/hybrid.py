"""`msmctl tune hybrid`: ask once, compare every way to fuse, say which the collection is served best by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from services.collections.collection import Collection
from services.errors import UsageError
from services.evaluation.measures import Measure
from services.search.choice import Choice
from services.search.fusion import Candidates, Leg, fusion_named
from services.tuning.arms import Arm, alone, fused
from services.tuning.choose import Verdict, choose
from services.tuning.intervals import difference
from services.tuning.labels import judgements, scored
from services.tuning.values import values

Floats = npt.NDArray[np.float64]
LabelKind = Literal["qrels", "ce"]


@dataclass(frozen=True)
class Asked:
    """What is tuned, and by what.

    Attributes:
        collection: Which.
        split: Its queries.
        measure: What is compared.
        labels: Where relevance comes from.
        ce: Whose scores, with `ce` labels; None: the only ones that there are.
    """

    collection: Collection
    split: str
    measure: Measure
    labels: LabelKind
    ce: str | None = None


@dataclass(frozen=True)
class Tuned:
    """What came of it. `as_dict` is what `msmctl tune hybrid --json` prints (docs/fusion.md).

    Attributes:
        labelled: Share of the candidates that have a label; 1 with judgements.
        alone, arms: What was compared; the default is the first of `arms`.
        values: float64 [alone and arms, queries].
    """

    asked: Asked
    queries: int
    labelled: float
    alone: list[Arm]
    arms: list[Arm]
    values: Floats
    verdict: Verdict

    @property
    def better(self) -> Arm:
        """The best leg."""
        return self.alone[self.verdict.better]

    @property
    def best(self) -> Arm:
        """The fused arm that is recommended if fusion is."""
        return self.arms[self.verdict.best]

    @property
    def recommendation(self) -> str:
        """In words."""
        if self.verdict.hybrid:
            return f"use hybrid, {self.best.name}"
        leg = self.better.leg
        mode = _mode(leg)
        return "use bm25 alone" if leg is None or mode == "bm25" else f"use {mode} alone ({leg.name})"

    def choice(self) -> Choice:
        """The recommendation as a collection keeps it."""
        leg, gain, hybrid = self.better.leg, self.verdict.gain, self.verdict.hybrid
        mode = _mode(leg)
        alike = sum(_mode(arm.leg) == mode for arm in self.alone)
        return Choice(
            mode="hybrid" if hybrid else mode,
            systems=(leg.name,) if leg and not hybrid and mode != "bm25" and alike > 1 else (),
            fusion=self.best.fusion if hybrid else None,
            params=fusion_named(self.best.fusion or "", self.best.params)[1] if hybrid else {},
            split=self.asked.split,
            measure=self.asked.measure.name,
            labels=self.asked.labels,
            queries=self.queries,
            gain=gain.mean,
            low=gain.low,
            high=gain.high,
            saved=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def as_dict(self, *, saved: bool = False) -> dict[str, Any]:
        """JSON form."""
        against = self.values[self.verdict.better]
        rows = [
            _row(arm, worth, against, alone=n < len(self.alone))
            for n, (arm, worth) in enumerate(zip([*self.alone, *self.arms], self.values, strict=True))
        ]
        choice = self.choice()
        return {
            "collection": self.asked.collection.name,
            "split": self.asked.split,
            "measure": self.asked.measure.name,
            "labels": self.asked.labels,
            "queries": self.queries,
            "labelled": round(self.labelled, 4),
            "recommendation": self.recommendation,
            "mode": choice.mode,
            "systems": list(choice.systems),
            "fusion": choice.fusion,
            "params": choice.params,
            "better_leg": self.better.name,
            "gain": asdict(self.verdict.gain),
            "choosing": asdict(self.verdict.held_out),
            "folds": [self.arms[n].name for n in self.verdict.folds],
            "arms": rows,
            "saved": saved,
        }


def tune(
    asked: Asked,
    qords: Sequence[int],
    tables: Sequence[Candidates],
    advance: Callable[[], None] = lambda: None,
) -> Tuned:
    """Compare all arms on the candidates of queries.

    Args:
        asked: What is tuned.
        qords: The queries.
        tables: Their candidates, from `services.tuning.tables`.
        advance: Called when an arm is done: as many times as `count` says.

    Raises:
        UsageError: there are too few queries with labels.
        NotFound: there are no scores.
    """
    if asked.labels == "ce":
        labels = scored(asked.collection, asked.ce, qords, tables)
    else:
        labels = judgements(asked.collection, asked.split, qords)
    kept = [n for n, grades in enumerate(labels.grades) if any(grade > 0 for grade in grades.values())]
    if not kept:
        raise UsageError(
            f"none of the {len(tables):,} queries has a passage that counts as relevant by {asked.labels}",
            hint="take another --split, or other --labels",
        )
    tables = [tables[n] for n in kept]
    single, several = alone(tables[0].legs), fused()
    found = values([*single, *several], tables, [labels.grades[n] for n in kept], asked.measure, advance)
    verdict = choose(found[: len(single)], found[len(single) :])
    return Tuned(asked, len(kept), labels.share, single, several, found, verdict)


def count(legs: int) -> int:
    """How many arms there are."""
    return legs + len(fused())


def _mode(leg: Leg | None) -> Literal["bm25", "dense", "sparse"]:
    """The mode in which a leg answers alone."""
    if leg is None or leg.scale == "bm25":
        return "bm25"
    return "sparse" if leg.scale == "sparse" else "dense"


def _row(arm: Arm, worth: Floats, against: Floats, *, alone: bool) -> dict[str, Any]:
    gain = difference(worth - against)
    return {
        "arm": arm.name,
        "kind": "leg" if alone else "fusion",
        "fusion": arm.fusion,
        "params": arm.params,
        "value": float(worth.mean()),
        "gain": gain.mean,
        "low": gain.low,
        "high": gain.high,
        "p": gain.p,
    }
