"""`msmctl tune hybrid` on the sample collection: compared, saved, used by search and evaluate, forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from services.search import choice
from services.search.choice import Choice
from services.store import Store
from tests.conftest import Stack
from tests.docs_kit import validate
from tests.integration.conftest import MODEL, Sample

CHOSEN = Choice(
    mode="hybrid", fusion="weighted-rrf", params={"k": 20, "dense": 0.25}, split="train", measure="nDCG@10",
    labels="qrels", queries=24, gain=0.1, low=0.05, high=0.15, saved="2026-01-01T00:00:00+00:00",
)  # fmt: skip


@pytest.fixture
def store(stack: Stack) -> Store:
    return Store(stack.settings.store_url)


@pytest.fixture
def saved(sample: Sample, store: Store) -> Iterator[Choice]:
    """A choice that no default would make is saved for the sample."""
    choice.save(store, sample.name, CHOSEN)
    yield CHOSEN
    choice.forget(store, sample.name)


def tuned(sample: Sample, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        sample.msmctl("tune", "hybrid", "--collection", sample.name, *arguments, "--json")
    )
    return found


def searched(sample: Sample, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        sample.msmctl(
            "search", "ice on a cold surface", "--collection", sample.name, "--explain", *arguments, "--json"
        )
    )
    return found


def test_every_arm_has_the_value_that_evaluate_gives_it(sample: Sample) -> None:
    found = tuned(sample, "--split", "train", "--measure", "RR@10")
    worth = {row["arm"]: row["value"] for row in found["arms"]}
    measured = json.loads(sample.msmctl(
        "evaluate", "--collection", sample.name, "--split", "train", "--system", f"bm25,{MODEL},hybrid",
        "--measure", "RR@10", "--json",
    ))  # fmt: skip
    assert {row["system"]: row["measures"]["RR@10"] for row in measured} == pytest.approx(
        {"bm25": worth["bm25"], MODEL: worth[MODEL], "hybrid": worth["surprisal"]}
    )
    assert not found["saved"]


def test_hybrid_is_recommended_only_where_its_whole_interval_is_a_gain(sample: Sample) -> None:
    found = tuned(sample, "--split", "train")
    assert (found["mode"] == "hybrid") == (found["gain"]["low"] > 0)
    assert found["recommendation"].startswith("use hybrid" if found["mode"] == "hybrid" else "use ")


def test_a_saved_choice_answers_who_asks_for_nothing_else(sample: Sample, saved: Choice) -> None:
    found = searched(sample)
    assert (found["chosen"], found["fusion"]) == (True, "weighted-rrf")
    assert found["hits"][0]["explain"]["params"] == saved.params
    asked = searched(sample, "--fusion", "rrf", "--mode", "hybrid")
    assert (asked["chosen"], asked["fusion"]) == (False, "rrf")


def test_a_forgotten_choice_answers_no_more(sample: Sample, saved: Choice) -> None:
    done = json.loads(sample.msmctl("tune", "forget", "--collection", sample.name, "--json"))
    assert done["forgotten"]
    assert searched(sample)["fusion"] == "surprisal"
    assert sample.run("tune", "show", "--collection", sample.name).code == 7


def test_evaluate_measures_the_saved_choice(sample: Sample, store: Store, saved: Choice) -> None:
    arguments = ("evaluate", "--collection", sample.name, "--split", "test", "--measure", "RR@10", "--json")
    chosen = json.loads(sample.msmctl(*arguments, "--system", "hybrid"))["measures"]["RR@10"]
    alone = saved.model_copy(update={"mode": "bm25", "fusion": None, "params": {}})
    choice.save(store, sample.name, alone)
    assert json.loads(sample.msmctl(*arguments, "--system", "hybrid"))["measures"]["RR@10"] == pytest.approx(
        json.loads(sample.msmctl(*arguments, "--system", "bm25"))["measures"]["RR@10"]
    )
    assert chosen > 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--split", "test"], "too few"),
        (["--split", "nowhere"], "nowhere"),
        (["--measure", "nDCG@ten"], "nDCG"),
        (["--ce", "ce-small"], "--labels ce"),
    ],
)
def test_what_cannot_be_tuned_by_is_told(sample: Sample, arguments: list[str], told: str) -> None:
    done = sample.run("tune", "hybrid", "--collection", sample.name, *arguments)
    assert done.code != 0
    assert told in done.stderr


def test_a_collection_that_serves_bm25_alone_has_nothing_to_fuse(sample: Sample, unique: str) -> None:
    files = ["--passages", "passages.tsv", "--queries", "train=queries.train.tsv"]
    sample.msmctl("collection", "import", unique, *files, "--qrels", "train=qrels.train.tsv")
    sample.msmctl("mine", "--collection", unique, "--system", "bm25", "--depth", "5")  # serves BM25 alone
    done = sample.run("tune", "hybrid", "--collection", unique)
    assert done.code != 0
    assert "serves BM25 alone" in done.stderr
    sample.msmctl("collection", "rm", unique, "--yes")


def test_the_json_has_the_documented_shape(sample: Sample, store: Store) -> None:
    try:
        validate("tune-hybrid", tuned(sample, "--split", "train", "--save"))
        shown = json.loads(sample.msmctl("tune", "show", "--collection", sample.name, "--json"))
        validate("tune-show", shown)
        assert shown["queries"] == 24
    finally:
        choice.forget(store, sample.name)
