"""What may be asked, and what is refused and why."""

from __future__ import annotations

from typing import Any

import pytest

from services.elastic.terms import of_terms, short
from services.errors import Conflict, Overloaded, TooLate, Unavailable, UsageError
from services.search.failures import Failure, Refused, nothing_left, of_item
from services.search.request import MAX_VALUES, SearchRequest, SparseSpec, fields_of


def test_json_may_say_from_and_filters_as_text() -> None:
    request = SearchRequest.parse(
        {"query": "x", "from": 20, "filters": ["year>=1990", {"field": "open", "op": "=", "value": True}]}
    )
    assert request.start == 20
    assert [condition.clause({"year": "integer", "open": "boolean"}) for condition in request.filters] == [
        {"range": {"meta.year": {"gte": 1990}}},
        {"term": {"meta.open": "true"}},
    ]


def test_fields_carry_boosts() -> None:
    [leg] = SearchRequest.parse({"legs": [{"type": "bm25", "fields": ["title^2.5", "text"]}]}).legs
    assert fields_of(leg) == {"title": 2.5, "text": 1.0}  # type: ignore[arg-type]
    assert short("a", {"title": 2.5, "text": 1.0})["multi_match"]["fields"] == ["title^2.5", "text^1"]
    counted = of_terms({"a": 2}, {"title": 2.5, "text": 1.0})["dis_max"]["queries"]
    assert [part["bool"]["should"][0]["term"] for part in counted] == [
        {"title": {"value": "a", "boost": 5.0}},
        {"text": {"value": "a", "boost": 2.0}},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"query": "x", "colour": 1}, "colour: "),
        ({"query": "x" * 100_001}, "query: "),
        ({"size": 0}, "size: "),
        ({"size": 1000, "from": 9_001}, "beyond the 10,000th hit"),
        ({"mode": "bm25", "legs": [{"type": "bm25"}]}, "one or the other"),
        ({"legs": [{"type": "fuzzy"}]}, "legs.0"),
        ({"legs": [{"type": "bm25", "fields": ["meta.year"]}]}, "legs.0.bm25.fields.0"),
        ({"legs": [{"type": "bm25", "fields": []}]}, "legs.0.bm25.fields"),
        ({"legs": [{"type": "sparse", "system": "s", "weights": {"a": -1}}]}, "weights.a"),
        ({"legs": [{"type": "sparse", "system": "s", "weights": {"a": float("nan")}}]}, "weights.a"),
        ({"rerank": {"window": 0}}, "rerank.window"),
        ({"budget_ms": 0}, "budget_ms"),
        ({"filters": ["year~3"]}, "not FIELD=VALUE"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_place(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        SearchRequest.parse(given)
    assert message in caught.value.message


MANY = {f"k{n}": "x" for n in range(MAX_VALUES + 1)}


@pytest.mark.parametrize(
    "given",
    [
        MANY,
        {"systems": [0] * MAX_VALUES},
        {"params": MANY},
        {"filters": [MANY]},
        {"rerank": MANY},
        {"legs": [{"type": "bm25", "fields": ["meta.year"] * MAX_VALUES}]},
        {"legs": [{"type": "sparse", "system": "s", "weights": MANY}]},
        {"legs": [{"type": "bm25", "fields": ["title"] * 50}] * 90},
    ],
)
def test_a_request_of_too_many_values_is_refused_as_a_whole(given: dict[str, Any]) -> None:
    """Instead of a description of each: half a million took seconds."""
    with pytest.raises(UsageError) as caught:
        SearchRequest.parse(given)
    assert caught.value.message == "a request is made of 4,096 values at most"


def test_as_many_values_as_are_allowed_are_read() -> None:
    weights = {f"k{n}": 1.0 for n in range(MAX_VALUES - 6)}
    [leg] = SearchRequest.parse(
        {"query": "x", "legs": [{"type": "sparse", "system": "s", "weights": weights}]}
    ).legs
    assert isinstance(leg, SparseSpec)
    assert len(leg.weights) == MAX_VALUES - 6


# -- what failures are called ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), "timeout"),
        (TooLate("late"), "timeout"),
        (Overloaded("full"), "overloaded"),
        (Unavailable("away"), "unavailable"),
        (Conflict("another"), "error"),
        (KeyError("x"), "error"),
    ],
)
def test_every_failure_has_a_name(error: Exception, reason: str) -> None:
    assert str(Failure.of("tiny", error)) == f"tiny:{reason}"


def test_a_refused_item_keeps_the_nodes_own_words() -> None:
    item = {"status": 400, "error": {"type": "parsing_exception", "reason": "what?"}}
    error = of_item(item, "searching x")
    assert isinstance(error.__cause__, Refused)
    assert error.__cause__.item is item
    assert "what?" in error.message
    assert isinstance(
        of_item({"status": 429, "error": {"type": "es_rejected", "reason": "full"}}, "x"), Overloaded
    )


OWN = Failure.of("encode:tiny", Conflict("another checkpoint"))
AWAY = Failure.of("encode:tiny", Unavailable("nobody answers"))
LATE = Failure.of("bm25", TooLate("late"))
FULL = Failure.of("bm25", Overloaded("full"))
REFUSED = Failure.of("bm25", UsageError("too many terms"))
LOST = Failure.of("bm25", Unavailable("no shard"))


@pytest.mark.parametrize("failures", [[AWAY], [FULL, LATE], [AWAY, LATE], [OWN, LATE]])
def test_a_search_without_legs_is_answered_while_elasticsearch_lives(failures: list[Failure]) -> None:
    assert nothing_left(failures, alive=True) is None


@pytest.mark.parametrize(("failures", "alive"), [([LATE], False), ([OWN, LATE], False), ([AWAY, LOST], True)])
def test_only_its_loss_is_an_error(failures: list[Failure], alive: bool) -> None:
    told = nothing_left(failures, alive=alive)
    assert isinstance(told, Unavailable)
    assert all(failure.note in told.message for failure in failures)


@pytest.mark.parametrize(
    ("failures", "own"), [([OWN], OWN), ([AWAY, REFUSED], REFUSED), ([AWAY, FULL], FULL)]
)
def test_or_what_every_leg_was_refused_for(failures: list[Failure], own: Failure) -> None:
    assert nothing_left(failures, alive=True) is own.error
