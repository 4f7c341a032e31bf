"""A small collection with runs and scores, exported with few words.

Merged by hand: q1 has p5 (rank 1 of tas-b), p3 and p4 (both rank 3; bm25 comes first); q2 has p4, p5.
p2 is a copy of p1; q3 has no positive.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
from small_collection import make
from small_runs import save_run
from small_scores import save_scores

from services.collections.collection import Collection
from services.exports.export import ExportRequest, plan, write
from services.exports.manifest import ExportManifest
from services.exports.registry import FORMATS
from services.negatives.opening import Asked

TAS_B = "msmarco-distilbert-base-tas-b"
TEXTS = {
    "p1": "The moon pulls the water nearest to it and so the sea rises twice a day.",
    "p2": "THE MOON pulls the water nearest to it, and so the sea rises twice a day!",
    "p3": "Rivers carry minerals to the sea, where they stay behind as salt.",
    "p4": "Dew settles on grass that has given off its warmth to the night sky.",
    "p5": "Thunder is air that lightning has heated.",
    "p6": "High and low water follow the moon.",
}
QUERIES = {"q1": "why tides", "q2": "why salt", "q3": "why dew"}
JUDGED = [("q1", "p1", 1), ("q1", "p6", 1), ("q2", "p3", 1)]
BM25 = {"q1": ["p1", "p2", "p3", "p4"], "q2": ["p4", "p3", "p5"], "q3": ["p4"]}
DENSE = {"q1": ["p5", "p1", "p4", "p3"], "q2": ["p3"]}
SCORES = {
    ("q1", "p1"): 5.0, ("q1", "p3"): -2.0, ("q1", "p4"): 0.5, ("q1", "p5"): -6.0, ("q1", "p6"): 2.0,
    ("q2", "p3"): 4.0, ("q2", "p4"): 3.0, ("q2", "p5"): -1.25, ("q3", "p4"): 1.5,
}  # fmt: skip


def numbered(name: str) -> str:
    """`p3` as `103`, `q3` as `3`: the same collection with integer ids."""
    return f"10{name[1:]}" if name[0] == "p" else name[1:]


def small(
    folder: Path, *, scored: bool = True, integers: bool = False, split: str = "train", name: str = "small"
) -> Collection:
    """The collection; with `integers` its ids are, as `numbered` gives them."""
    as_ = numbered if integers else str
    collection = make(
        folder,
        name=name,
        passages={as_(pid): text for pid, text in TEXTS.items()},
        queries={split: {as_(qid): text for qid, text in QUERIES.items()}},
        qrels={split: [(as_(qid), as_(pid), grade) for qid, pid, grade in JUDGED]},
    )
    for system, ranked in (("bm25", BM25), (TAS_B, DENSE)):
        named = {as_(qid): [as_(pid) for pid in pids] for qid, pids in ranked.items()}
        save_run(collection, system, named, split=split)
    if scored:
        save_scores(collection, {(as_(qid), as_(pid)): score for (qid, pid), score in SCORES.items()})
    return collection


def request(
    name: str, place: Path, *, split: str = "train", force: bool = False,
    options: Mapping[str, Any] | None = None, **asked: Any,
) -> ExportRequest:  # fmt: skip
    return ExportRequest(FORMATS[name], Asked(split, **asked), place, force, options or {})


def export(collection: Collection, name: str, place: Path, **what: Any) -> ExportManifest:
    """Export; `what` as `request` takes it."""
    return write(plan(collection, request(name, place, **what)))


def loaded(folder: Path, subset: str, split: str = "train") -> list[dict[str, Any]]:
    """The rows of a subset, as the real library reads them."""
    cache = folder.parent / f"{folder.name}-cache"
    return list(datasets.load_dataset(str(folder), subset, split=split, cache_dir=str(cache)))


def files(folder: Path) -> dict[str, bytes]:
    """All files of a folder by name below it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*")) if path.is_file()
    }  # fmt: skip
