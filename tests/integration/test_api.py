"""The HTTP service of the running stack: who may ask what, search, kept queries, limits, health."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from elasticsearch import NotFoundError

from services.api.app import create_app
from services.api.limits import BODY_BYTES, DOCUMENTS, TEXT_CHARACTERS, TEXTS
from services.elastic import adhoc, versions
from services.elastic.client import connect
from services.settings import Settings
from services.stack.endpoints import endpoints, models_url
from services.stack.status import status
from tests.conftest import MSMCTL, ROOT, Stack
from tests.docs_kit import commands, validate
from tests.integration.api_kit import Api, problem
from tests.integration.conftest import MODEL, Sample

QUERY = "why is the sea salty"


@pytest.fixture(scope="module")
def api(stack: Stack, sample: Sample) -> Api:
    return Api(stack.settings, endpoints(stack.settings).api_url, sample.name)


@pytest.fixture(scope="module")
def admin(api: Api) -> Iterator[httpx.Client]:
    with api.client(api.key("admin")) as client:
        yield client


@pytest.fixture
def path(api: Api) -> str:
    return f"/v1/collections/{api.collection}/search"


# -- who may ask ---------------------------------------------------------------------------------------


def test_nobody_is_answered_without_a_key(api: Api, path: str) -> None:
    with api.client() as client:
        answer = client.post(path, json={"query": QUERY})
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "msmctl api keys create" in problem(answer, 401)["hint"]


def test_of_a_stranger_only_a_small_body_is_read(api: Api, path: str) -> None:
    """It is not even parsed: nothing says that it is no JSON."""
    with api.client() as client:
        problem(client.post(path, content=b"x" * 2**20, headers={"Content-Type": "application/json"}), 401)


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer x", "Basic YTpi", "Bearer msm_000000000000_" + "x" * 43, "ä"]
)
def test_what_is_no_key_of_ours_is_refused(api: Api, path: str, header: str) -> None:
    with api.client() as client:
        headers = {"Authorization": header.encode("latin-1")}
        problem(client.post(path, json={"query": QUERY}, headers=headers), 401)


def test_a_key_with_another_s_secret_is_refused(api: Api, path: str) -> None:
    mine, other = api.key("search"), api.key("search")
    forged = "_".join([*mine.split("_", 2)[:2], other.split("_", 2)[2]])
    with api.client(forged) as client:
        assert problem(client.post(path, json={"query": QUERY}), 401)["detail"] == "this key is not known"


def test_a_revoked_or_expired_key_is_refused_and_told(api: Api, path: str) -> None:
    revoked = api.key("search")
    api.store.revoke(revoked.split("_")[1])
    for key, why in ((revoked, "is revoked"), (api.expired(), "is expired")):
        with api.client(key) as client:
            assert why in problem(client.post(path, json={"query": QUERY}), 401)["detail"]


@pytest.mark.parametrize(
    ("scope", "allowed", "refused"),
    [
        ("search", "/v1/collections", "/info"),
        ("embed", "/info", "/v1/collections"),
        ("search", "/v1/collections", "/v1/jobs"),
    ],
)
def test_a_key_may_do_what_its_scopes_say(api: Api, scope: Any, allowed: str, refused: str) -> None:
    with api.client(api.key(scope)) as client:
        assert client.get(allowed).status_code == 200
        assert "scope" in problem(client.get(refused), 403)["detail"]


def test_a_limited_key_asks_and_sees_its_own_collections(api: Api, path: str) -> None:
    def listed(client: httpx.Client) -> list[str]:
        return [one["name"] for one in client.get("/v1/collections").json()["collections"]]

    with api.client(api.key("search", collections=[api.collection])) as client:
        assert client.post(path, json={"query": QUERY, "mode": "bm25"}).status_code == 200
        assert listed(client) == [api.collection]
    with api.client(api.key("search", collections=["another"])) as client:
        assert "may not ask" in problem(client.post(path, json={"query": QUERY}), 403)["detail"]
        problem(client.post("/v1/queries", json={"collection": api.collection, "text": QUERY}), 403)
        assert listed(client) == []


def test_a_key_asks_as_often_as_it_may(api: Api) -> None:
    with api.client(api.key("search", rate=3)) as client:
        answers = [client.get("/v1/collections") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 20
    assert problem(answers[-1], 429)["code"] == "overloaded"


# -- search --------------------------------------------------------------------------------------------


def test_a_search_is_answered_as_on_the_command_line(admin: httpx.Client, path: str, sample: Sample) -> None:
    answer = admin.post(path, json={"query": QUERY, "explain": True, "size": 3})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    validate("search", found)
    assert (found["mode"], found["degraded"]) == ("hybrid", [])
    printed = sample.msmctl(
        "search", QUERY, "--collection", sample.name, "--explain", "--size", "3", "--json"
    )
    assert [hit["pid"] for hit in found["hits"]] == [hit["pid"] for hit in json.loads(printed)["hits"]]
    assert found["hits"][0]["explain"]["legs"].keys() >= {"bm25", MODEL}  # other tests may have promoted more


def test_what_a_search_cannot_mean_is_told_with_its_place(admin: httpx.Client, path: str) -> None:
    for body, place in [
        ({"query": QUERY, "size": 0}, "size"),
        ({"query": QUERY, "fields": []}, "fields"),
        ({"query": QUERY, "from": 9_999, "size": 2}, ""),
        ({"query": QUERY, "budget_ms": -1}, "budget_ms"),
    ]:
        assert problem(admin.post(path, json=body), 422)["errors"][0]["place"] == place
    assert (
        "colour" in problem(admin.post(path, json={"query": QUERY, "filters": ["colour=red"]}), 400)["detail"]
    )
    assert "nonsense" in problem(admin.post(path, json={"query": QUERY, "fusion": "nonsense"}), 400)["detail"]


def test_what_is_not_there_is_told(admin: httpx.Client, path: str) -> None:
    said = problem(admin.post("/v1/collections/never-built/search", json={"query": QUERY}), 404)
    assert "msmctl index build" in said["hint"]
    problem(admin.post("/v1/collections/BAD/search", json={"query": QUERY}), 422)
    problem(admin.post(path, json={"query": QUERY, "mode": "dense", "systems": ["other"]}), 404)


def test_limits_are_kept(admin: httpx.Client, path: str) -> None:
    problem(admin.post(path, json={"query": "x" * 200_000}), 422)
    problem(admin.post(path, json={"query": QUERY, "rerank": {"window": 5_000}}), 422)
    problem(admin.post(path, content=b"x" * (BODY_BYTES + 1)), 413)
    problem(admin.post(path, content=(b"x" * 2**20 for _ in range(BODY_BYTES // 2**20 + 1))), 413)
    problem(admin.post("/embed", json={"inputs": ["x"] * (TEXTS + 1)}), 400)
    problem(admin.post("/embed", json={"inputs": "x" * (TEXT_CHARACTERS + 1)}), 400)
    problem(admin.post("/rerank", json={"query": "x", "texts": ["x"] * (DOCUMENTS + 1)}), 400)


# -- kept queries --------------------------------------------------------------------------------------


def test_a_kept_query_is_looked_up_by_elasticsearch(admin: httpx.Client, api: Api) -> None:
    answer = admin.post("/v1/queries", json={"collection": api.collection, "text": QUERY})
    assert answer.status_code == 200, answer.text
    kept = answer.json()
    validate("query-put", kept)
    lookup = kept["lookup"][MODEL]
    knn = {"field": lookup["path"], "k": 3, "num_candidates": 50}
    client = connect(api.settings, "reader")
    asked = {"model": MODEL, "input": QUERY, "input_type": "query"}
    [embedded] = admin.post("/v1/embeddings", json=asked).json()["data"]

    def pids(how: dict[str, Any]) -> list[str]:
        found = client.search(index=api.settings.index(api.collection), knn=knn | how)
        return [hit["_id"] for hit in found["hits"]["hits"]]

    assert pids({"query_vector_builder": {"lookup": lookup}}) == pids({"query_vector": embedded["embedding"]})


def test_the_same_text_has_one_id_and_another_id_can_be_chosen(admin: httpx.Client, api: Api) -> None:
    def put(**more: Any) -> dict[str, Any]:
        kept: dict[str, Any] = admin.post("/v1/queries", json={"collection": api.collection} | more).json()
        return kept

    assert put(text=QUERY)["id"] == put(text=QUERY, days=30)["id"] != put(text="dew")["id"]
    assert put(text=QUERY, id="my-own")["id"] == "my-own"
    ahead = datetime.fromisoformat(put(text=QUERY, days=30)["expires"]) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < ahead <= timedelta(days=30)


def test_an_id_stands_for_one_text_until_a_person_says_otherwise(
    admin: httpx.Client, api: Api, sample: Sample
) -> None:
    def put(**more: Any) -> httpx.Response:
        return admin.post("/v1/queries", json={"collection": api.collection} | more)

    made = put(text=QUERY).json()["id"]
    for identity, refused in (("mine", 409), (made, 400)):
        lookup = put(text=QUERY, id=identity).json()["lookup"][MODEL]
        where = {"index": lookup["index"], "id": identity}
        kept = connect(api.settings).get(**where)["_source"]
        problem(put(text="something else", id=identity), refused)
        assert connect(api.settings).get(**where)["_source"] == kept
    given = ["query", "put", "something else", "--collection", api.collection, "--id", "mine"]
    sample.msmctl(*given, code=6)
    assert json.loads(sample.msmctl(*given, "--replace", "--json"))["text"] == "something else"


def test_nobody_shortens_how_long_a_query_is_kept(admin: httpx.Client, api: Api) -> None:
    given = {"collection": api.collection, "text": "a text that is kept for long"}
    long, short = (admin.post("/v1/queries", json=given | {"days": days}).json() for days in (60, 1))
    assert short["expires"] == long["expires"]


def test_an_old_kept_query_is_forgotten_when_the_next_one_comes(admin: httpx.Client, api: Api) -> None:
    client = connect(api.settings)
    old = admin.post("/v1/queries", json={"collection": api.collection, "text": "old"}).json()
    lookup = next(iter(old["lookup"].values()))
    source = client.get(index=lookup["index"], id=lookup["id"])["_source"]
    client.index(
        index=lookup["index"], id=lookup["id"], document=source | {"expires": "2020-01-01"}, refresh=True
    )
    admin.post("/v1/queries", json={"collection": api.collection, "text": "new"})
    with pytest.raises(NotFoundError):
        client.get(index=lookup["index"], id=lookup["id"])


def test_kept_queries_go_when_another_model_is_served(admin: httpx.Client, api: Api) -> None:
    client = connect(api.settings)
    kept = admin.post("/v1/queries", json={"collection": api.collection, "text": QUERY}).json()
    index = kept["lookup"][MODEL]["index"]
    systems = versions.version(client, api.settings, api.collection).meta.systems.values()
    adhoc.drop_if_stale(client, api.settings, api.collection, systems)
    assert client.indices.exists(index=index)
    retrained = [one.model_copy(update={"model": "another"}) for one in systems]
    adhoc.drop_if_stale(client, api.settings, api.collection, retrained)
    assert not client.indices.exists(index=index)


# -- health, and what is lost ---------------------------------------------------------------------------


def test_health_is_told_without_a_key(api: Api) -> None:
    with api.client() as client:
        assert client.get("/livez").json() == {"status": "alive"}
        assert client.get("/health").status_code == 200
        ready = client.get("/readyz")
        assert ready.json()["collections"] >= 1
        assert api.collection not in ready.text
        assert client.get("/readyz", params={"collection": api.collection}).status_code == 200
        problem(client.get("/readyz", params={"collection": "never-built"}), 404)
        counted = client.get("/metrics")
    assert counted.headers["content-type"].startswith("text/plain")
    assert "msm_http_requests_total" in counted.text


def test_a_search_goes_on_while_the_models_process_is_stopped(
    admin: httpx.Client, api: Api, path: str, stack: Stack
) -> None:
    pid = next(one.pid for one in status(stack.settings) if one.name == "models")
    assert pid is not None
    members = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for one in members:
        one.send_signal(signal.SIGSTOP)
    try:
        body = {"query": f"a query that nobody asked before {os.getpid()}", "budget_ms": 500}
        answer = admin.post(path, json=body)
        ready = admin.get("/readyz")
        with api.client() as stranger:
            told = stranger.get("/readyz").json()
    finally:
        for one in members:
            one.send_signal(signal.SIGCONT)
    assert answer.status_code == 200, answer.text
    assert answer.json()["mode"] == "bm25"
    assert any(entry.startswith(f"encode:{MODEL}:") for entry in answer.json()["degraded"])
    assert (ready.status_code, ready.json()["status"], told["status"]) == (200, "degraded", "degraded")
    where = models_url(api.settings)
    assert f"models: {where} does not answer" in ready.json()["degraded"]
    assert where not in json.dumps(told)


def test_the_loss_of_elasticsearch_is_a_problem_that_passes(stack: Stack) -> None:
    """The same application in this process, with an address where nobody answers."""
    lost = Settings(
        home=stack.home,
        es_url="http://127.0.0.1:9",
        secrets=str(stack.settings.secrets_dir),
        embed_url="local",
    )
    app = create_app(lost)

    async def course() -> list[httpx.Response]:
        async with app.router.lifespan_context(app) as state:

            async def with_state(scope: Any, receive: Any, send: Any) -> None:
                await app({**scope, "state": dict(state)}, receive, send)

            transport = httpx.ASGITransport(app=with_state)
            key = {"Authorization": "Bearer msm_000000000000_" + "x" * 43}
            async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=key) as client:
                return [
                    await client.get("/livez"),
                    await client.get("/readyz"),
                    await client.post("/v1/collections/any/search", json={"query": QUERY}),
                ]

    alive, ready, search = asyncio.run(course())
    assert alive.status_code == 200
    problem(ready, 503)
    assert problem(search, 503)["code"] == "unavailable"


def test_a_sender_who_leaves_costs_no_more_work(api: Api, path: str, stack: Stack) -> None:
    def left() -> float:
        lines = httpx.get(f"{api.url}/metrics", trust_env=False).text.splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith("msm_http_left_total"))

    before = left()
    pid = next(one.pid for one in status(stack.settings) if one.name == "models")
    assert pid is not None
    psutil.Process(pid).send_signal(signal.SIGSTOP)
    try:
        with api.client(api.key("search")) as client, pytest.raises(httpx.ReadTimeout):
            client.post(path, json={"query": f"left alone {time.time_ns()}"}, timeout=1.0)
        limit = time.monotonic() + 5
        while left() == before and time.monotonic() < limit:
            time.sleep(0.05)
    finally:
        psutil.Process(pid).send_signal(signal.SIGCONT)
    assert left() == before + 1


def test_a_vector_comes_as_floats_or_packed(admin: httpx.Client) -> None:
    asked = {"model": MODEL, "input": [QUERY]}
    [plain] = admin.post("/v1/embeddings", json=asked).json()["data"]
    [packed] = admin.post("/v1/embeddings", json=asked | {"encoding_format": "base64"}).json()["data"]
    unpacked = np.frombuffer(base64.b64decode(packed["embedding"]), "<f4")
    np.testing.assert_allclose(unpacked, plain["embedding"], rtol=0, atol=1e-6)


# -- the page --------------------------------------------------------------------------------------------


def test_the_commands_of_the_page_work(api: Api, stack: Stack) -> None:
    script = "\n".join(commands(ROOT / "docs" / "api.md")).replace("squad", api.collection)
    done = subprocess.run(
        [
            "bash",
            "-c",
            f'set -euo pipefail; curl() {{ command curl --fail-with-body "$@"; echo; }}\n{script}',
        ],
        env=os.environ | {"PATH": f"{MSMCTL.parent}:{os.environ['PATH']}", "no_proxy": "*"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
