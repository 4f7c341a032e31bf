"""What `export` writes, `verify` calls good, where texts are there twice and where people have spoken too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.collections.collection import Collection
from services.exports.verify import verify
from services.negatives.marks import Mark, Marks
from services.negatives.verdicts import Verdict
from tests.unit.export_kit import export
from tests.unit.small_collection import make
from tests.unit.small_runs import save_run

MOON = "The moon pulls the water nearest to it and so the sea rises twice a day."
SALT = "Rivers carry minerals to the sea, where they stay behind as salt."
ICE = "Ice is water that has given its warmth away."


def found(file: Path, collection: Collection, **more: Any) -> dict[str, int]:
    return {kind: n for kind, n in verify(file, collection, **more).findings.items() if n}


@pytest.mark.parametrize(
    ("name", "options"),
    [("triplet-all", {}), ("labeled-pair", {}), ("n-tuple", {"num-negatives": 2}), ("flagembedding", {})],
)
def test_queries_with_one_text_are_told_apart_by_their_positives(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    """Squad asks twice where the Rhine begins; the answer to one is a candidate of the other."""
    collection = make(
        tmp_path,
        passages={"a": MOON, "b": SALT, "c": ICE, "d": "Bees dance."},
        queries={"train": {"q1": "why?", "q2": "why?"}},
        qrels={"train": [("q1", "a", 1), ("q2", "b", 1)]},
    )
    save_run(collection, "bm25", {"q1": ["b", "c", "d"], "q2": ["a", "c", "d"]})
    export(collection, name, tmp_path / "out", options=options)
    assert found(tmp_path / "out", collection) == {}


@pytest.mark.parametrize(("name", "options"), [("n-tuple", {"num-negatives": 2}), ("flagembedding", {})])
def test_passages_with_one_text_are_different_passages(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    collection = make(
        tmp_path,
        passages={"a": MOON, "b": SALT, "c": SALT},
        queries={"train": {"q1": "why?"}},
        qrels={"train": [("q1", "a", 1)]},
    )
    save_run(collection, "bm25", {"q1": ["b", "c"]})
    export(collection, name, tmp_path / "out", options=options)
    assert found(tmp_path / "out", collection) == {}


@pytest.fixture
def marked(tmp_path: Path) -> Collection:
    collection = make(
        tmp_path,
        passages={"a": MOON, "copy": MOON.upper(), "same": MOON, "b": SALT, "c": ICE},
        queries={"train": {"q1": "why?"}},
        qrels={"train": [("q1", "a", 1)]},
    )
    save_run(collection, "bm25", {"q1": ["a", "copy", "same", "b", "c"]})
    return collection


def marks(collection: Collection, **verdicts: Verdict) -> Marks:
    return Marks(collection, [Mark("q1", pid, verdict, "read it") for pid, verdict in verdicts.items()])


@pytest.mark.parametrize("name", ["hard-negatives", "qidpidtriples", "triplet-all", "labeled-pair"])
@pytest.mark.parametrize(
    "verdicts",
    [
        {"copy": Verdict.KEEP},
        {"same": Verdict.KEEP},
        {"a": Verdict.KEEP, "b": Verdict.POSITIVE},
        {"b": Verdict.POSITIVE},
        {"b": Verdict.EXCLUDED},
    ],
    ids=["a copy", "the same text", "a positive", "another positive", "taken out"],
)
def test_what_people_say_counts_as_in_the_export(
    tmp_path: Path, marked: Collection, name: str, verdicts: dict[str, Verdict]
) -> None:
    people = marks(marked, **verdicts)
    export(marked, name, tmp_path / "out", marks=people)
    assert found(tmp_path / "out", marked, marks=people) == {}


@pytest.mark.parametrize(
    ("verdicts", "kinds"),
    [
        ({"b": Verdict.POSITIVE}, {"positives": 1}),
        ({"b": Verdict.EXCLUDED}, {"judged": 1}),
        ({"b": Verdict.LIKELY_POSITIVE}, {"judged": 1}),
        ({"c": Verdict.POSITIVE, "b": Verdict.KEEP}, {"positives": 1}),
    ],
)
def test_what_people_call_no_negative_is_found(
    tmp_path: Path, marked: Collection, verdicts: dict[str, Verdict], kinds: dict[str, int]
) -> None:
    export(marked, "hard-negatives", tmp_path / "n.jsonl")
    assert found(tmp_path / "n.jsonl", marked) == {}
    assert found(tmp_path / "n.jsonl", marked, marks=marks(marked, **verdicts)) == kinds


def test_a_file_that_calls_a_passage_both_contradicts_itself_whatever_people_say(
    tmp_path: Path, marked: Collection
) -> None:
    (tmp_path / "n.jsonl").write_text('{"qid": "q1", "pos": ["b"], "neg": {"bm25": ["b"]}}\n')
    people = marks(marked, b=Verdict.KEEP)
    assert found(tmp_path / "n.jsonl", marked, marks=people) == {"positives": 1}
