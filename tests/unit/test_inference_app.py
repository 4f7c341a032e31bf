"""What the models process answers to what is wrong, without a key, and while it is not ready."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from httpx import Response
from starlette.testclient import TestClient
from tiny_model import masked_language_model

from services.inference import app, warmth, wire
from services.settings import Settings
from services.store import Store
from services.systems.models import add


def client(home: Path, **settings: object) -> TestClient:
    made = Settings(home=home, **settings)  # type: ignore[arg-type]
    return TestClient(app.create_app(made, Store(made.store_url)))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[TestClient]:
    with client(tmp_path) as served:
        yield served


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/models/embed", "{", 400, "body: Invalid JSON"),
        ("/models/embed", '{"texts": []}', 400, "model: Field required"),
        ("/models/embed", '{"model": "m", "texts": ["a"], "txet": 1}', 400, "txet: Extra inputs"),
        ("/models/embed", '{"model": "m", "texts": "a"}', 400, "texts: Input should be a valid list"),
        ("/models/rerank", '{"model": "m", "query": "q", "texts": [1]}', 400, "texts.0: Input should be"),
        ("/models/rerank", '{"model": "m", "query": "q", "texts": [], "budget_ms": -1}', 400, "budget_ms: "),
        ("/models/embed", f'{{"model": "{"m" * 201}", "texts": ["a"]}}', 400, "model: String should have at"),
        ("/embed", f'{{"model": "{"m" * 201}", "inputs": "a"}}', 400, "model: String should have at"),
        ("/models/embed", '{"model": "nobody", "texts": ["a"]}', 404, "no system 'nobody'"),
        ("/models/embed", '{"model": "bm25", "texts": ["a"]}', 422, "system 'bm25' has no encoder"),
        ("/models/rerank", '{"model": "ms-marco-MiniLM-L6-v2", "query": "", "texts": []}', 404, "is not in"),
        ("/embed", '{"inputs": "a"}', 400, "model: which system? 0 are loaded"),
        ("/v2/rerank", '{"model": "m", "query": "", "documents": ["a"]}', 400, "query: String should have"),
        ("/v1/embeddings", f'{{"model": "m", "input": {[0] * 20_000}}}', 400, "more than 10,000 values"),
        ("/models/warm", f'{{"names": {[0] * 20_000}}}', 400, "more than 10,000 values"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(served: TestClient, path: str, body: str, status: int, message: str) -> None:
    answer = served.post(path, content=body)
    assert answer.status_code == status
    assert message in answer.json()["message"]


def test_a_body_that_is_too_large_is_refused(served: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "MOST_BYTES", 1000)
    answer = served.post("/models/embed", content=b" " * 1001)
    assert answer.status_code == 400
    assert "more than 1,000 bytes" in answer.json()["message"]


def test_outcomes_are_counted(served: TestClient) -> None:
    served.post("/models/embed", content=b"{")
    counted = served.get("/metrics").text
    assert 'msm_models_requests_total{endpoint="/models/embed",outcome="refused"} 1.0' in counted


def test_where_there_is_a_key_models_are_for_who_has_it_and_life_is_for_all(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / app.KEY).write_text("geheim\n")
    body = '{"model": "nobody", "texts": ["a"]}'
    with client(tmp_path) as served:
        assert served.get("/livez").status_code == 200
        for given in ({}, {"Authorization": "Bearer gehein"}, {"Authorization": "geheim"}):
            assert served.post("/models/embed", content=body, headers=given).status_code == 401
        answer = served.post("/models/embed", content=body, headers={"Authorization": "Bearer geheim"})
        assert answer.status_code == 404


def settled(served: TestClient) -> Response:
    """What /readyz says once nothing is loading."""
    limit = time.monotonic() + 60
    while (answer := served.get("/readyz")).json()["status"] == "loading":
        assert time.monotonic() < limit, answer.json()
        time.sleep(0.05)
    return answer


def test_a_model_that_is_to_be_warm_and_cannot_be_is_why_it_is_not_ready(tmp_path: Path) -> None:
    with client(tmp_path, warm="nobody") as served:
        answer = settled(served)
        assert answer.status_code == 503
        assert answer.json() == {"status": "failed", "reasons": ["nobody: no system 'nobody'"]}
        assert served.get("/livez").json() == {"status": "alive"}


def test_a_sparse_system_is_made_warm_and_is_the_one_that_is_meant(tmp_path: Path) -> None:
    store = Store(Settings(home=tmp_path).store_url)
    add(store, "weighed", str(masked_language_model(tmp_path / "model")), kind="sparse")
    with client(tmp_path, warm="weighed", device="cpu") as served:
        assert settled(served).status_code == 200
        [row] = served.post("/embed_sparse", json={"inputs": "the cat"}).json()
        assert row
        assert served.post("/embed", json={"inputs": "the cat"}).status_code == 400


def test_another_model_that_cannot_be_warm_is_told_and_holds_up_nobody(tmp_path: Path) -> None:
    with client(tmp_path) as served:
        assert settled(served).json() == {"status": "ready", "reasons": []}
        assert served.post(wire.WARM, content='{"names": ["nobody"]}').is_success
        answer = settled(served)
        assert answer.status_code == 200
        assert answer.json() == {"status": "degraded", "reasons": ["nobody: no system 'nobody'"]}


def test_what_was_in_use_before_and_is_gone_is_forgotten(tmp_path: Path) -> None:
    warmth.remember(Settings(home=tmp_path), ["gone"])
    with client(tmp_path) as served:
        assert settled(served).json() == {"status": "ready", "reasons": []}
