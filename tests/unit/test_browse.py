"""Queries found by words, and those beside another."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_collection import make

from services.collections.browse import beside, with_words
from services.collections.collection import Collection
from services.errors import NotFound

TRAIN = {
    "q1": "Why is the sea salty?",
    "q2": "when was the Suez Canal opened",
    "q3": "salt in sea water (50%)",
}


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    return make(tmp_path, passages={"a": "text"}, queries={"train": TRAIN, "test": {"q9": "sea"}})


def qids(found: list[dict[str, str]]) -> list[str]:
    return [one["qid"] for one in found]


def test_every_word_must_be_there_in_any_case(collection: Collection) -> None:
    assert qids(with_words(collection, "train", "SEA salt", 10)) == ["q1", "q3"]
    assert qids(with_words(collection, "train", "sea canal", 10)) == []


def test_words_are_words_and_no_patterns(collection: Collection) -> None:
    assert qids(with_words(collection, "train", "(50%)", 10)) == ["q3"]
    assert qids(with_words(collection, "train", ".*", 10)) == []


def test_an_id_is_found_as_well(collection: Collection) -> None:
    assert with_words(collection, "train", "q2", 10) == [{"qid": "q2", "text": TRAIN["q2"]}]


def test_without_words_all_queries_of_the_split_up_to_the_limit(collection: Collection) -> None:
    assert qids(with_words(collection, "train", "", 2)) == ["q1", "q2"]


def test_beside_goes_through_the_split_and_ends_with_it(collection: Collection) -> None:
    assert qids(beside(collection, "train", "q1", 1)) == ["q2"]
    assert qids(beside(collection, "train", "q2", -1)) == ["q1"]
    assert beside(collection, "train", "q3", 1) == []
    assert beside(collection, "train", "q1", -1) == []


@pytest.mark.parametrize("qid", ["q9", "nobody", ""])
def test_a_query_of_another_split_has_nothing_beside_it(collection: Collection, qid: str) -> None:
    with pytest.raises(NotFound, match="has no query"):
        beside(collection, "train", qid, 1)
