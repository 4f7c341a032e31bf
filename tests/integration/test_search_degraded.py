"""A search under a deadline: whatever is late or broken is left out and told; the rest is answered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from services.deadline import Deadline
from services.errors import InputError, NotFound, Overloaded, Unavailable
from services.inference.models import Floats
from services.search.ask import Ask, Rerank
from services.search.legs import Dense
from services.search.pace import Pace, Reserve
from services.search.request import SearchRequest
from tests.integration.search_kit import FOREVER, QUERY, RERANK, Asked, Double, ords, score

SERVED = ("tiny", "dotted")


class Halfway(Double):
    """A reranker that reaches three passages."""

    async def rerank(self, model: str, query: str, texts: Sequence[str], deadline: Deadline) -> Floats:
        scores = await super().rerank(model, query, texts, deadline)
        scores[3:] = np.nan
        return scores


def question(ask: Asked, **request: Any) -> Ask:
    """A request as the engine is asked."""
    version = ask.bench.served(ask.name)
    parsed = SearchRequest.parse({"query": QUERY} | request)
    return ask.runner.run(ask.engine.resolved(parsed, version, Deadline.after(parsed.budget_ms)))


# -- encoders and legs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Unavailable("nobody answers"), "unavailable"),
        (Overloaded("the queue is full"), "overloaded"),
        (RuntimeError("a defect"), "error"),
    ],
    ids=["dead", "overloaded", "broken"],
)
def test_without_encoders_bm25_answers_alone(ask: Asked, error: Exception, reason: str) -> None:
    answer = ask.result({"query": QUERY}, models=Double(error)).as_dict()
    assert answer["degraded"] == [f"encode:{name}:{reason}" for name in SERVED]
    assert (answer["mode"], answer["fusion"]) == ("bm25", None)
    assert ords(answer) == ords(ask(mode="bm25"))
    assert str(error) in answer["notes"][0]


def test_an_encoder_that_sleeps_past_the_deadline_is_not_waited_for(ask: Asked) -> None:
    answer = ask.result({"query": QUERY, "budget_ms": 1500}, models=Double(asleep=True))
    assert answer.degraded == [f"encode:{name}:timeout" for name in SERVED]
    assert len(answer.hits) == 10
    assert answer.took_ms < FOREVER * 1000 / 10


def test_slow_legs_are_believed_less_while_no_vector_is_in_time_for_them(ask: Asked) -> None:
    engine = replace(ask.engine, models=Double(asleep=True), pace=Pace(legs=Reserve(250.0, 0.0)))
    for _ in range(3):
        ask.runner.run(engine.search(ask.name, SearchRequest(query=QUERY, budget_ms=100)))
    assert engine.pace.legs.ms < 250.0 * 0.92, "else vectors would never get more time again"


def test_vectors_of_another_width_are_not_sent(ask: Asked) -> None:
    answer = ask.result({"query": QUERY}, models=Double(dims=3))
    assert answer.degraded == [f"encode:{name}:error" for name in SERVED]
    assert "float32[1, 3]" in answer.notes[0]


def test_a_leg_that_elasticsearch_refuses_is_left_out(ask: Asked) -> None:
    asked = question(ask)
    legs = [
        replace(leg, system=leg.system.model_copy(update={"dims": 3}))
        if isinstance(leg, Dense) and leg.column.name == "tiny"
        else leg
        for leg in asked.legs
    ]
    ranked = ask.rank(replace(asked, legs=tuple(legs)), Double())
    assert ranked.degraded == ("tiny:error",)
    assert "expected vector length" in ranked.notes[0]
    assert list(ranked.explain(0)["legs"]) == ["bm25", "dotted"]
    with pytest.raises(InputError, match="expected vector length"):
        ask.rank(replace(asked, legs=tuple(leg for leg in legs if leg.column.name == "tiny")), Double())


def test_when_no_leg_is_left_the_answer_is_empty_and_says_why(ask: Asked) -> None:
    asked = {"query": QUERY, "mode": "dense", "rerank": RERANK, "explain": True}
    answer = ask.result(asked, models=Double(Unavailable("nobody answers")))
    assert (answer.hits, answer.mode, answer.fusion, answer.reranked) == ([], "dense", None, 0)
    assert answer.degraded == [f"encode:{name}:unavailable" for name in SERVED]
    assert answer.notes[0] == "encode:tiny:unavailable: nobody answers"


def test_an_answer_without_time_is_empty_while_elasticsearch_lives_and_else_an_error(ask: Asked) -> None:
    asked = question(ask)
    over = replace(asked, legs=asked.legs[:1], deadline=Deadline.after(0))
    ranked = ask.rank(over, Double())
    assert (ranked.ords.tolist(), ranked.degraded) == ([], ("bm25:timeout",))
    ask.engine.pace.pulse.silence = 3.0
    with pytest.raises(Unavailable, match="not one leg answered: bm25:timeout"):
        ask.rank(over, Double())
    ask.engine.pace.pulse.silence = 0.0


def test_true_scores_for_which_there_is_no_time_are_bounded_and_told(ask: Asked) -> None:
    class Long(Reserve):
        @property
        def ms(self) -> float:
            return math.inf

    engine = replace(ask.engine, pace=Pace(scores=Long()))
    request = SearchRequest(query=QUERY, size=50, budget_ms=60_000, explain=True)
    answer = ask.runner.run(engine.search(ask.name, request))
    assert answer.degraded == ["scores:timeout"]
    whole = {hit["ord"]: hit["explain"]["legs"] for hit in ask(size=300)["hits"]}
    for hit in answer.hits:
        for name, leg in hit["explain"]["legs"].items():
            known = whole[hit["ord"]][name]["score"]
            assert leg["score"] == pytest.approx(known) if leg["rank"] else leg["score"] in (None, known)


def test_elasticsearch_away_is_an_error(ask: Asked) -> None:
    lost = ask.bench.settings.model_copy(update={"es_url": "http://127.0.0.1:9"})
    from services.search.opened import blocking

    with blocking(lost, ask.bench.store) as (runner, engine), pytest.raises(Unavailable):
        runner.run(engine.search(ask.name, SearchRequest(query=QUERY, budget_ms=500)))


# -- reranking ---------------------------------------------------------------------------------------


def test_the_head_is_ordered_by_logits_and_the_rest_follows_in_fused_order(ask: Asked) -> None:
    models = Double()
    fused = ask.rank(question(ask, size=30), models)
    answer = ask.result(
        {"query": QUERY, "size": 30, "rerank": RERANK, "explain": True}, models=models
    ).as_dict()
    assert (answer["reranked"], answer["degraded"]) == (20, [])
    head, rest = answer["hits"][:20], answer["hits"][20:]
    logits = [score(hit["text"]) for hit in head]
    assert logits == sorted(logits, reverse=True)
    assert [hit["explain"]["ce_score"] for hit in head] == [hit["score"] for hit in head] == logits
    assert {hit["ord"] for hit in head} == set(fused.ords[:20].tolist())
    assert [hit["ord"] for hit in rest] == fused.ords[20:].tolist()
    assert {hit["explain"]["ce_score"] for hit in rest} == {None}
    assert [hit["explain"]["fused_rank"] for hit in rest] == list(range(21, 31))
    scores = [hit["score"] for hit in answer["hits"]]
    assert scores == sorted(scores, reverse=True)
    for hit in answer["hits"]:
        parts = [leg["normalised"] * leg["weight"] for leg in hit["explain"]["legs"].values()]
        assert hit["explain"]["fused"] == pytest.approx(sum(parts))


def test_what_the_reranker_did_not_reach_stays_in_fused_order(ask: Asked) -> None:
    models = Halfway()
    fused = ask.rank(question(ask), models).ords.tolist()
    answer = ask.result({"query": QUERY, "rerank": RERANK}, models=models)
    assert (answer.reranked, answer.degraded) == (3, ["rerank:partial"])
    found = [hit["ord"] for hit in answer.hits]
    assert set(found[:3]) == set(fused[:3])
    assert found[3:] == fused[3:]


@pytest.mark.parametrize(
    ("models", "entry"),
    [
        (Double(Unavailable("nobody answers")), "rerank:unavailable"),
        (Double(Overloaded("full")), "rerank:overloaded"),
        (Double(ValueError("a defect")), "rerank:error"),
        (Double(asleep=True), "rerank:timeout"),
    ],
    ids=["dead", "overloaded", "broken", "asleep"],
)
def test_without_a_reranker_the_fused_order_answers(ask: Asked, models: Double, entry: str) -> None:
    request = {"query": QUERY, "mode": "bm25", "rerank": RERANK, "budget_ms": 1000}
    answer = ask.result(request, models=models)
    assert (answer.reranked, answer.degraded) == (0, [entry])
    assert [hit["ord"] for hit in answer.hits] == ords(ask(mode="bm25"))


def test_a_cross_encoder_that_is_none_is_told(ask: Asked) -> None:
    with pytest.raises(NotFound, match="no such"):
        ask.result({"query": QUERY, "rerank": RERANK}, models=Double(NotFound("no such")))


def test_several_texts_are_reranked_as_one_by_one(ask: Asked) -> None:
    models = Double()
    asked = replace(question(ask), rerank=Rerank("double", 15))
    texts = [QUERY, "who runs the cat"]
    many = ask.runner.run(replace(ask.engine, models=models).rank_many(asked, texts))
    for text, ranked in zip(texts, many, strict=True):
        alone = ask.rank(replace(asked, text=text), models)
        assert ranked.ords.tolist() == alone.ords.tolist()
        assert ranked.reranked == 15
