"""What a leg's answer is taken for: whole, a part, or nothing."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elasticsearch import ApiError

from services.deadline import Deadline
from services.elastic.mapping import ServedSystem
from services.errors import InputError, MsmError, NotFound, Overloaded, Unavailable
from services.search.legs import Dense, Lexical, Sparse
from services.search.pace import Pace, Pulse, Reserve
from services.search.retrieval import Found, Ready, _found, _Place, _sampled, second_trip
from services.search.sample import Sample
from services.search.trips import Trips

SPLADE = ServedSystem(
    name="splade", slug="splade", dims=0, similarity="dot", fingerprint="f", model="m", kind="sparse"
)

NODE = NodeConfig("http", "nowhere", 9200)


def item(*hits: tuple[int, float], **more: Any) -> dict[str, Any]:
    found = [{"sort": [score, o]} for o, score in hits]
    return {"hits": {"hits": found}, "status": 200, "timed_out": False} | more


def found(bm25: dict[str, Any] | MsmError, splade: dict[str, Any] | MsmError, depth: int = 2) -> Found:
    return _found([Ready(Lexical(), []), Ready(Sparse(SPLADE, {}), [])], [bm25, splade], depth)


def told(one: Found) -> list[str]:
    return [str(failure) for failure in one.failures]


def test_a_list_that_is_shorter_than_it_might_be_tells_that_the_rest_does_not_match() -> None:
    one = found(item((1, 2.0)), item((2, 3.0), (3, 1.0)))
    assert told(one) == []
    assert one.table.scores[:, 0].tolist() == [2.0, 0.0, 0.0]
    assert str(one.table.scores[0, 1]) == "nan", "a full list does not"


def test_what_a_leg_ranked_until_its_time_was_over_counts_and_is_told() -> None:
    one = found(item((1, 2.0), timed_out=True), item((2, 3.0)))
    assert told(one) == ["bm25:partial"]
    assert str(one.table.scores[1, 0]) == "nan", "it did not see all"
    assert told(found(item((1, 2.0), _shards={"failed": 1}), item((2, 3.0)))) == ["bm25:partial"]


def test_a_sampled_passage_that_a_sparse_leg_does_not_match_scores_nothing_rather_than_being_unknown() -> (
    None
):
    one = found(item((1, 2.0)), item((2, 3.0), (3, 1.0)))
    place = _Place(0, 1, np.array([1], np.int32), np.array([2, 5, 8, 9], np.int32))
    background = place.put(one, item((8, 0.5), (2, 3.0)))
    assert sorted(background.tolist()) == [0.0, 0.0, 0.5, 3.0]
    assert one.table.scores[:, 1].tolist() == [0.0, 3.0, 1.0]


def test_dense_and_sparse_legs_are_sampled_and_bm25_is_not() -> None:
    sample = Sample(10, np.array([4, 7], np.int32))
    dense = Dense(SPLADE.model_copy(update={"kind": "dense"}), "hnsw")
    assert [_sampled(sample, leg).tolist() for leg in (Lexical(), Sparse(SPLADE), dense)] == [
        [],
        [4, 7],
        [4, 7],
    ]


def test_a_leg_that_found_nothing_in_time_is_left_out() -> None:
    one = found(item(timed_out=True), item((2, 3.0)))
    assert told(one) == ["bm25:timeout"]
    assert [leg.name for leg in one.table.legs] == ["splade"]


def test_a_leg_that_matches_nothing_has_answered() -> None:
    one = found(item(), item((2, 3.0)))
    assert told(one) == []
    assert one.table.scores.tolist() == [[0.0, 3.0]]


def test_without_any_leg_nothing_is_found_and_an_unknown_index_is_an_error() -> None:
    one = found(item(timed_out=True), Unavailable("away"))
    assert told(one) == ["bm25:timeout", "splade:unavailable"]
    assert (one.legs, one.table.ords.tolist()) == ([], [])
    with pytest.raises(NotFound):
        found(item((1, 2.0)), NotFound("no such index"))


def test_true_scores_are_not_asked_for_in_less_time_than_they_take_and_that_is_told() -> None:
    one, needed = found(item((1, 2.0)), item((2, 3.0), (3, 1.0))), Reserve(100.0, 10.0)
    nobody = Trips(None, "index", 1, Pulse())  # type: ignore[arg-type]
    asyncio.run(second_trip(None, [one], nobody, Deadline.after(50), needed))
    assert told(one) == ["scores:timeout"]
    assert needed.ms < Reserve(100.0, 10.0).ms, "so that one is asked for, and measured, soon"


def test_query_vectors_take_a_share_of_the_time_and_leave_room_for_the_legs() -> None:
    def left(legs: Reserve, share: float = 0.5) -> float:
        return Pace(legs=legs).for_encoding(Deadline.after(1000), share).left * 1000

    assert left(Reserve(100.0, 10.0)) == pytest.approx(500, abs=20), "the legs need less than the other half"
    assert left(Reserve(100.0, 10.0), 0.95) == pytest.approx(860, abs=20)
    slow = Pace(legs=Reserve(200.0, 10.0)).for_encoding(Deadline.after(200), 0.5)
    assert slow.left * 1000 == pytest.approx(40, abs=20), "however slow the legs are, a vector is tried for"
    assert Pace().for_encoding(Deadline(), 0.5).timeout is None


def test_elasticsearch_is_lost_when_nobody_is_answered_for_two_seconds() -> None:
    pulse = Pulse()

    def ask(seconds: float, error: Exception | None = None) -> None:
        with suppress(TimeoutError, InputError, Unavailable), pulse.asking():
            pulse.since -= seconds
            if error:
                raise error

    assert pulse.alive, "nobody has asked"
    ask(1.5, TimeoutError())
    assert pulse.alive
    pulse.since -= 1
    assert pulse.alive, "nobody waits"
    ask(1.0, TimeoutError())
    assert not pulse.alive
    ask(0.0, Unavailable("no connection"))
    assert not pulse.alive
    pulse.since -= 60
    ask(0.0, TimeoutError())
    assert pulse.alive, "that was long ago"
    ask(3.0, TimeoutError())
    assert not pulse.alive
    ask(0.0)
    assert pulse.alive, "it has answered"
    ask(5.0, InputError("refused"))
    assert pulse.alive, "refusing is answering"


def test_a_node_that_takes_no_more_at_all_is_overloaded_in_its_own_words() -> None:
    class Full:
        def options(self, **_: Any) -> Full:
            return self

        async def msearch(self, **_: Any) -> Any:
            said = {"error": {"type": "circuit_breaking_exception", "reason": "too large"}, "status": 429}
            raise ApiError("too large", ApiResponseMeta(429, "1.1", HttpHeaders(), 0.0, NODE), said)

    trips = Trips(Full(), "index", 1, Pulse())  # type: ignore[arg-type]
    [one] = asyncio.run(trips.send([{}], Deadline.after(5_000), 10))
    assert isinstance(one, Overloaded)
    assert isinstance(one.__cause__, ApiError)
