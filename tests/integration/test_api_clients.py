"""The official clients of OpenAI and Cohere, and TEI's endpoints, on the real service."""

from __future__ import annotations

import cohere
import httpx
import numpy as np
import openai
import pytest

from services.stack.endpoints import endpoints
from tests.conftest import Stack
from tests.integration.api_kit import Api
from tests.integration.conftest import MODEL, Sample
from tests.unit.tiny_ce import tiny_ce

QUERY = "why is the sea salty"
TEXTS = ["Rivers carry minerals to the sea.", "The moon pulls the water.", "Salt stays behind.", ""]


@pytest.fixture(scope="module")
def api(stack: Stack, sample: Sample) -> Api:
    return Api(stack.settings, endpoints(stack.settings).api_url, sample.name)


@pytest.fixture(scope="module")
def key(api: Api) -> str:
    return api.key("embed")


@pytest.fixture(scope="module")
def scorer(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A cross-encoder of a name of its own: the stack's store may outlive the run."""
    folder = tmp_path_factory.mktemp("scorer")
    name = f"ce-{folder.stat().st_ino}"
    sample.msmctl("ce", "add", name, "--model", tiny_ce(folder / "model", "bert"))
    return name


@pytest.fixture(scope="module")
def logits(scorer: str, api: Api, key: str) -> list[float]:
    """What the cross-encoder says of `TEXTS`, raw."""
    with api.client(key) as client:
        body = {"model": scorer, "query": QUERY, "texts": TEXTS, "raw_scores": True}
        answer = client.post("/rerank", json=body)
    assert answer.status_code == 200, answer.text
    return [one["score"] for one in sorted(answer.json(), key=lambda one: one["index"])]


@pytest.fixture(scope="module")
def theirs(api: Api, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{api.url}/v1", api_key=key, max_retries=0)


# -- OpenAI --------------------------------------------------------------------------------------------


def test_openai_s_client_gets_the_same_vectors_in_both_formats(theirs: openai.OpenAI) -> None:
    packed = theirs.embeddings.create(model=MODEL, input=TEXTS)  # base64, unless it is told otherwise
    plain = theirs.embeddings.create(model=MODEL, input=TEXTS, encoding_format="float")
    vectors = np.array([one.embedding for one in packed.data])
    np.testing.assert_allclose(vectors, [one.embedding for one in plain.data], rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert [one.index for one in packed.data] == [0, 1, 2, 3]
    assert packed.usage.total_tokens > 0
    assert packed.model == MODEL


def test_openai_s_client_understands_what_is_refused(theirs: openai.OpenAI, api: Api) -> None:
    with pytest.raises(openai.NotFoundError, match="nonsense"):
        theirs.embeddings.create(model="nonsense", input="x")
    with pytest.raises(openai.BadRequestError, match="384"):
        theirs.embeddings.create(model=MODEL, input="x", dimensions=7)
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{api.url}/v1", api_key="sk-x").embeddings.create(model=MODEL, input="x")
    searcher = openai.OpenAI(base_url=f"{api.url}/v1", api_key=api.key("search"))
    with pytest.raises(openai.PermissionDeniedError, match="scope"):
        searcher.embeddings.create(model=MODEL, input="x")


# -- Cohere --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2])
def test_cohere_s_clients_get_relevance_best_first(
    api: Api, key: str, scorer: str, logits: list[float], version: int
) -> None:
    kind = cohere.Client if version == 1 else cohere.ClientV2
    answer = kind(api_key=key, base_url=api.url).rerank(
        model=scorer, query=QUERY, documents=TEXTS[:3], top_n=2
    )
    expected = sorted(range(3), key=lambda n: -logits[n])[:2]
    assert [one.index for one in answer.results] == expected
    relevance = [1 / (1 + np.exp(-logits[n])) for n in expected]
    assert [one.relevance_score for one in answer.results] == pytest.approx(relevance, abs=1e-5)


def test_cohere_s_client_understands_what_is_refused(api: Api, key: str) -> None:
    client = cohere.ClientV2(api_key=key, base_url=api.url)
    with pytest.raises(cohere.NotFoundError):
        client.rerank(model="nonsense", query=QUERY, documents=TEXTS[:2])
    with pytest.raises(cohere.UnprocessableEntityError):
        client.rerank(model="nonsense", query=QUERY, documents=[])


# -- text-embeddings-inference ---------------------------------------------------------------------------


@pytest.fixture
def client(api: Api, key: str) -> httpx.Client:
    return api.client(key)


def test_tei_s_embed_gives_rows_of_unit_length(client: httpx.Client, theirs: openai.OpenAI) -> None:
    answer = client.post("/embed", json={"inputs": TEXTS, "model": MODEL, "truncate": True})
    vectors = np.array(answer.json())
    other = theirs.embeddings.create(model=MODEL, input=TEXTS).data
    np.testing.assert_allclose(vectors, [one.embedding for one in other], rtol=0, atol=1e-5)


def test_tei_s_rerank_gives_scores_best_first(client: httpx.Client, scorer: str, logits: list[float]) -> None:
    body = {"model": scorer, "query": QUERY, "texts": TEXTS, "return_text": True}
    answer = client.post("/rerank", json=body).json()
    assert [one["index"] for one in answer] == sorted(range(4), key=lambda n: -logits[n])
    assert [one["text"] for one in answer] == [TEXTS[one["index"]] for one in answer]
    assert all(0 <= one["score"] <= 1 for one in answer)


def test_tei_s_info_tells_models_and_limits(client: httpx.Client, scorer: str) -> None:
    told = client.get("/info").json()
    assert MODEL in told["systems"]
    assert told["max_client_batch_size"] == 2_048
    assert told["auto_truncate"] is True
