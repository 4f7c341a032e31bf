"""Search on a real index: legs, true scores, fusion, filters, and what is said when something is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cli.main import root
from services.deadline import Deadline
from services.elastic import versions
from services.encoding.encoder import load_encoder
from services.encoding.vectors import open_vectors
from services.errors import Conflict, NotFound, UsageError
from services.search.request import SearchRequest
from services.systems.models import add
from services.systems.registry import Registry
from tests.conftest import Cli, Stack
from tests.integration.index_kit import QUERIES, Bench, passages
from tests.integration.search_kit import QUERY, Asked
from tests.unit.tiny_model import tiny_model, with_modules


def test_every_leg_tells_its_true_score_for_every_hit(ask: Asked) -> None:
    hits = ask(size=50)["hits"]
    bm25 = {hit["ord"]: hit["score"] for hit in ask(mode="bm25", size=300)["hits"]}
    assert any(hit["explain"]["legs"]["bm25"]["rank"] is None for hit in hits)
    for name in ("tiny", "dotted"):
        system = Registry.load(ask.bench.store).get(name)
        vectors = open_vectors(ask.collection, system)
        assert vectors is not None
        [query] = load_encoder(ask.bench.store, system, ask.bench.settings).encode([QUERY], prompt="query")
        exact = vectors.passages.take(np.arange(300)) @ query
        for hit in hits:
            assert hit["explain"]["legs"][name]["score"] == pytest.approx(
                exact[hit["ord"]], rel=1e-4, abs=1e-5
            )
    for hit in hits:
        assert hit["explain"]["legs"]["bm25"]["score"] == pytest.approx(bm25.get(hit["ord"], 0.0), rel=1e-6)


def test_scores_are_seen_against_those_of_a_random_sample(ask: Asked) -> None:
    question = ask.runner.run(
        ask.engine.resolved(
            SearchRequest(query=QUERY, fusion="convex"), ask.bench.served(ask.name), Deadline()
        )
    )
    assert question.sample is not None
    assert (question.sample.passages, len(question.sample.ords)) == (300, 256)
    candidates = ask.rank(question).fused.candidates
    assert candidates.background is not None
    assert candidates.background.passages == 300
    for column, name in ((1, "tiny"), (2, "dotted")):
        system = Registry.load(ask.bench.store).get(name)
        vectors = open_vectors(ask.collection, system)
        assert vectors is not None
        [query] = load_encoder(ask.bench.store, system, ask.bench.settings).encode([QUERY], prompt="query")
        exact = np.sort(vectors.passages.take(question.sample.ords) @ query)
        assert np.sort(candidates.background.scores[column]) == pytest.approx(exact, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("fusion", ["convex", "rrf"])
def test_the_fused_score_is_the_weighted_sum_that_the_explanation_shows(ask: Asked, fusion: str) -> None:
    hits = ask(fusion=fusion, size=20)["hits"]
    for hit in hits:
        parts = [leg["normalised"] * leg["weight"] for leg in hit["explain"]["legs"].values()]
        assert hit["score"] == hit["explain"]["fused"] == pytest.approx(sum(parts))
    order = [(-hit["score"], hit["ord"]) for hit in hits]
    assert order == sorted(order)
    assert [hit["rank"] for hit in hits] == list(range(1, 21))


def test_one_leg_alone_keeps_its_own_scores(ask: Asked) -> None:
    assert ask(mode="bm25")["fusion"] is None
    dense = ask(mode="dense", systems=("tiny",))
    [best, *_] = dense["hits"]
    assert best["score"] == best["explain"]["legs"]["tiny"]["score"] <= 1.0
    assert list(best["explain"]["legs"]) == ["tiny"]


def test_it_takes_one_trip_where_its_hits_are_the_page(ask: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    transport, asked = ask.engine.client.transport, []
    perform = transport.perform_request

    async def counted(method: str, target: str, **more: Any) -> Any:
        asked.append(target.partition("?")[0])
        return await perform(method, target, **more)

    ask(mode="bm25", budget_ms=60_000)
    monkeypatch.setattr(transport, "perform_request", counted)
    first = ask(mode="bm25", size=20, budget_ms=60_000)["hits"]
    assert len(asked) == 1
    assert asked[0].endswith("/_msearch")
    assert ask(mode="bm25", size=10, **{"from": 10})["hits"] == first[10:]
    assert len(asked) == 3, "a later page has its sources fetched"


def test_a_hit_carries_what_the_passage_is(ask: Asked) -> None:
    [hit] = ask("number 8", size=1, mode="bm25")["hits"]
    row = passages(9)[8]
    assert (hit["pid"], hit["ord"], hit["title"]) == ("p8", 8, row["title"])
    assert hit["text"] == f"{row['title']} {row['text']}"
    assert hit["meta"] == {"year": 1908, "topic": row["topic"]}


@pytest.mark.parametrize("mode", ["hybrid", "bm25", "dense"])
def test_filters_hold_for_every_leg(ask: Asked, mode: str) -> None:
    hits = ask(QUERY, "meta.year>=2000", "year<=2100", "topic=cat", mode=mode, size=100)["hits"]
    assert hits
    assert all(2000 <= hit["meta"]["year"] <= 2100 and hit["meta"]["topic"] == "cat" for hit in hits)


def test_many_queries_at_once_are_answered_as_one_by_one(ask: Asked) -> None:
    texts = [*QUERIES.values(), "", QUERY]
    served = ask.bench.served(ask.name)
    question = ask.runner.run(ask.engine.resolved(SearchRequest(), served, Deadline()))
    many = ask.runner.run(ask.engine.rank_many(question, texts))
    for text, ranked in zip(texts, many, strict=True):
        hits = ask(text)["hits"]
        assert [hit["ord"] for hit in hits] == ranked.ords.tolist()
        assert [hit["score"] for hit in hits] == pytest.approx(ranked.scores.tolist(), rel=1e-6)
    assert ask.runner.run(ask.engine.rank_many(question, [])) == []


def test_a_query_without_terms_is_answered_by_the_dense_legs(ask: Asked) -> None:
    hits = ask("the of")["hits"]
    assert len(hits) == 10
    assert {hit["explain"]["legs"]["bm25"]["score"] for hit in hits} == {0.0}


def test_unknown_fields_systems_and_collections_are_told(ask: Asked) -> None:
    with pytest.raises(UsageError, match="no such metadata field"):
        ask(QUERY, "colour=red")
    with pytest.raises(NotFound, match="does not serve 'other'"):
        ask(systems=("other",))
    with pytest.raises(NotFound, match="no served index") as caught:
        ask.result({"query": "x"}, collection="never-built")
    assert "msmctl index build" in str(caught.value.hint)


def test_without_served_systems_hybrid_is_bm25_and_says_so(ask: Asked, unique: str) -> None:
    ask.bench.build(ask.bench.make(unique, passages(20)), job=7)
    answer = ask.result({"query": "number 3"}, collection=unique)
    assert (answer.mode, answer.fusion) == ("bm25", None)
    assert "no other system is served" in answer.notes[0]
    with pytest.raises(NotFound, match="serves no dense system"):
        ask.result({"query": "number 3", "mode": "dense"}, collection=unique)


def test_a_vector_of_another_checkpoint_is_never_compared(ask: Asked, unique: str, tmp_path: Path) -> None:
    bench = Bench(ask.bench.settings, tmp_path)
    bench.build(bench.make(unique, passages(20)), bench.add_system("tiny"))
    other = with_modules(tiny_model(tmp_path / "retrained", seed=9), pooling="mean", normalize=True)
    add(bench.store, "tiny", str(other), replace=True)
    with pytest.raises(Conflict, match="another checkpoint"):
        bench.search(unique, QUERY, mode="dense")
    without = bench.search(unique, QUERY)
    assert (without.mode, without.degraded) == ("bm25", ["encode:tiny:error"])
    assert "another checkpoint" in without.notes[0]
    bench.clean()


def test_the_commands(ask: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSM_STORE", ask.bench.store.url)
    monkeypatch.setenv("MSM_EMBED_URL", "local")
    name = ask.name

    def run(*arguments: str) -> Any:
        answer = CliRunner().invoke(
            root, [*arguments, "--collection", name, "--json"], catch_exceptions=False
        )
        assert answer.exit_code == 0, answer.stderr
        return json.loads(answer.stdout)

    found = run("search", QUERY, "--explain", "--set", "dense=0.5", "--filter", "year>=1910", "--size", "3")
    assert found.keys() >= {"query", "collection", "index", "mode", "fusion", "took_ms", "hits"}
    assert found["hits"][0]["explain"]["legs"].keys() == {"bm25", "tiny", "dotted"}

    ask.bench.build(ask.collection, "tiny", job=2)
    listed = run("index", "ls")
    assert [(row["version"], row["state"], row["served"], row["passages"]) for row in listed] == [
        (1, "complete", False, 300),
        (2, "complete", True, 300),
    ]
    assert run("index", "show", "v1")["collection"] == name
    assert run("index", "diff", "1", "2") == []
    assert run("index", "verify")["passed"]
    assert run("index", "rollback")["version"] == 1
    assert run("index", "swap", "2")["before"] == 1
    assert run("index", "rm", "1", "--yes")["removed"][0].endswith("-v1")

    with pytest.raises(Conflict, match="is served"):
        run("index", "rm", "2", "--yes")
    assert [v.n for v in versions.versions(ask.bench.client, ask.bench.settings, name)] == [2]


@pytest.mark.parametrize(
    ("environment", "code"),
    [({"MSM_ES_URL": "http://127.0.0.1:9"}, 5), ({"MSM_SECRETS": "wrong"}, 4), ({}, 7)],
    ids=["unreachable", "wrong password", "nothing built"],
)
def test_what_stops_a_search_has_its_exit_code(
    stack: Stack, cli: Cli, tmp_path: Path, environment: dict[str, str], code: int
) -> None:
    if "MSM_SECRETS" in environment:
        (tmp_path / "admin").write_text("guess\n")
        environment = {"MSM_SECRETS": str(tmp_path)}
    answer = cli("search", "x", "--collection", "never-built", environment=environment)
    assert answer.code == code, answer.stderr
    assert "hint: " in answer.stderr
