"""The models process as it runs, and its client: answers, deadlines, what becomes of both under signals."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from tiny_ce import SENTENCES, tiny_ce
from tiny_model import masked_language_model, tiny_model, with_modules

from services.cross_encoders.models import add as add_cross_encoder
from services.deadline import Deadline
from services.elastic.mapping import ServedSystem
from services.errors import Conflict, MsmError, NotFound, Overloaded, TooLate, Unavailable
from services.inference.choose import models
from services.inference.models import ModelService
from services.settings import Settings, load
from services.store import Store
from services.systems.models import add as add_system

T = TypeVar("T")
NEVER = Deadline()
TEXTS = ["the cat sleeps", "a red fish swims in the river", "who sings", "the old stone"]
QUERY = "who sings in the tree"
MANY = [f"{' '.join(SENTENCES)} {n}" for n in range(2000)]


@dataclass
class Server:
    """A models process of our own: a store with one encoder and one cross-encoder, a small queue."""

    home: Path
    port: int
    encoder: Path
    scorer: Path
    system: ServedSystem
    sparse: ServedSystem
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def running(self) -> subprocess.Popen[bytes]:
        """The process, started (again) where it is not there, ready."""
        if self.process is None or self.process.poll() is not None:
            environment = os.environ | {
                "MSM_HOME": str(self.home),
                "MSM_QUEUE_TOKENS": "4096",
                "MSM_THREADS": "1",
            }
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.inference", "--port", str(self.port)], env=environment
            )
            eventually(lambda: self.get("/readyz")["status"] == "ready")
        return self.process

    def get(self, path: str) -> dict[str, object]:
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                found: dict[str, object] = json.loads(answer.read())
                return found
        except OSError as error:
            return {"status": str(error)}

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=20) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def asked(self, ask: Callable[[ModelService], Awaitable[T]], embed: str = "", rerank: str = "") -> T:
        """What a client gets."""

        async def run() -> T:
            settings = Settings(
                home=self.home, embed_url=embed or self.url, rerank_url=rerank or self.url, device="cpu"
            )
            client = models(settings, Store(settings.store_url))
            try:
                return await ask(client)
            finally:
                await client.close()

        return asyncio.run(run())


def eventually(holds: Callable[[], bool], patience: float = 100.0) -> None:
    limit = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.1)


async def recovered(client: ModelService, server: Server) -> None:
    """Waits until the client finds its way back."""
    limit = time.monotonic() + 60
    while True:
        try:
            await client.rerank("ranker", QUERY, TEXTS, Deadline.after(5000))
            return
        except MsmError:
            assert time.monotonic() < limit
            await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("models")
    store = Store(load(home=home).store_url)
    encoder = with_modules(tiny_model(home / "encoder"))
    scorer = tiny_ce(home / "scorer", "bert")
    _, model = add_system(store, "tiny", str(encoder), pooling="mean", similarity="cosine", max_length=32)
    add_cross_encoder(store, "ranker", str(scorer))
    _, weighed = add_system(store, "weighed", str(masked_language_model(home / "masked")), kind="sparse")
    sparse = ServedSystem(
        name="weighed", slug="weighed", dims=37, similarity="dot", fingerprint="s",
        model=weighed.fingerprint, kind="sparse",
    )  # fmt: skip
    system = ServedSystem(
        name="tiny", slug="tiny", dims=32, similarity="cosine", fingerprint="f", model=model.fingerprint
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made = Server(home, port, encoder, scorer, system, sparse)
    made.running()
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.wait()


class TestAnswers:
    def test_vectors_are_those_of_sentence_transformers(self, server: Server) -> None:
        server.running()
        found = server.asked(lambda client: client.embed(server.system, TEXTS, NEVER))
        expected = SentenceTransformer(str(server.encoder), device="cpu").encode(
            TEXTS, normalize_embeddings=True
        )
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_scores_are_the_logits_of_sentence_transformers(self, server: Server) -> None:
        server.running()
        found = server.asked(lambda client: client.rerank("ranker", QUERY, [*SENTENCES, *TEXTS], NEVER))
        peer = CrossEncoder(str(server.scorer), device="cpu")
        expected = peer.predict(
            [(QUERY, text) for text in [*SENTENCES, *TEXTS]], activation_fn=torch.nn.Identity()
        )
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_no_texts_are_no_vectors_and_no_scores(self, server: Server) -> None:
        server.running()
        assert server.asked(lambda client: client.embedded("tiny", [], "query", NEVER)).vectors.shape == (
            0,
            32,
        )
        assert server.asked(lambda client: client.rerank("ranker", QUERY, [], NEVER)).shape == (0,)

    def test_vectors_of_another_checkpoint_are_refused(self, server: Server) -> None:
        server.running()
        other = server.system.model_copy(update={"model": "0" * 64})
        with pytest.raises(Conflict, match="another checkpoint of 'tiny'"):
            server.asked(lambda client: client.embed(other, TEXTS, NEVER))

    def test_what_the_process_says_reaches_who_asked(self, server: Server) -> None:
        server.running()
        with pytest.raises(NotFound, match="no cross-encoder 'nobody'"):
            server.asked(lambda client: client.rerank("nobody", QUERY, TEXTS, NEVER))

    def test_in_this_process_answers_are_the_same(self, server: Server) -> None:
        server.running()
        there, here = (
            server.asked(lambda client: client.reranked("ranker", QUERY, TEXTS, NEVER), rerank=url)
            for url in (server.url, "local")
        )
        np.testing.assert_allclose(there.scores, here.scores, atol=1e-5)
        assert (there.checkpoint, there.tokens) == (here.checkpoint, here.tokens)

    @pytest.mark.parametrize("dialect", ["tei", "openai"])
    def test_vectors_by_a_foreign_dialect_are_the_same(self, server: Server, dialect: str) -> None:
        server.running()
        texts = TEXTS * 20  # more than a server of TEI takes at a time
        ours, foreign = (
            server.asked(lambda client: client.embed(server.system, texts, NEVER), embed=url)
            for url in (server.url, f"{dialect}+{server.url}")
        )
        np.testing.assert_allclose(foreign, ours, atol=1e-5)

    @pytest.mark.parametrize("url", ["tei+{}", "local"])
    def test_term_weights_are_the_same_whoever_makes_them(self, server: Server, url: str) -> None:
        server.running()
        texts = [f"{text} {n}" for n, text in enumerate(TEXTS * 20)]
        ours, other = (
            server.asked(lambda client: client.weigh(server.sparse, texts, NEVER), embed=where)
            for where in (server.url, url.format(server.url))
        )
        assert (ours.values > 0).all()
        assert ours.starts.tolist() == other.starts.tolist()
        assert ours.terms.tolist() == other.terms.tolist()
        np.testing.assert_allclose(ours.values, other.values, atol=1e-5)

    def test_term_weights_of_another_checkpoint_or_dialect_are_refused(self, server: Server) -> None:
        server.running()
        other = server.sparse.model_copy(update={"model": "0" * 64})
        with pytest.raises(Conflict, match="another checkpoint of 'weighed'"):
            server.asked(lambda client: client.weigh(other, TEXTS, NEVER))
        with pytest.raises(NotFound, match="has no term weights"):
            server.asked(
                lambda client: client.weigh(server.sparse, TEXTS, NEVER), embed=f"openai+{server.url}"
            )
        with pytest.raises(NotFound, match="system 'tiny' makes no term weights"):
            server.asked(lambda client: client.weighed("tiny", TEXTS, "query", NEVER))

    @pytest.mark.parametrize("dialect", ["tei", "cohere"])
    def test_scores_by_a_foreign_dialect_are_the_same(self, server: Server, dialect: str) -> None:
        server.running()
        texts = [f"{text} {n}" for n, text in enumerate(TEXTS * 10)]
        ours, foreign = (
            server.asked(lambda client: client.rerank("ranker", QUERY, texts, NEVER), rerank=url)
            for url in (server.url, f"{dialect}+{server.url}")
        )
        np.testing.assert_allclose(foreign, ours, atol=1e-3)

    def test_a_damaged_model_is_named_with_the_remedy(self, server: Server, tmp_path: Path) -> None:
        server.running()
        store = Store(load(home=server.home).store_url)
        _, model = add_system(
            store, "broken", str(with_modules(tiny_model(tmp_path / "m", seed=3))), pooling="mean",
            similarity="cosine", max_length=32,
        )  # fmt: skip
        (model.local_folder(store) / "model.safetensors").write_bytes(b"cut off")
        with pytest.raises(MsmError, match=r"damaged: model\.safetensors.*instead of") as found:
            server.asked(lambda client: client.embedded("broken", TEXTS, "query", NEVER))
        assert found.value.hint == "`msmctl systems pull broken` copies it anew"


class TestSignals:
    def test_a_stopped_process_costs_one_request_its_time_and_then_none(self, server: Server) -> None:
        process = server.running()

        async def ask(client: ModelService) -> None:
            await client.rerank("ranker", QUERY, TEXTS, NEVER)
            process.send_signal(signal.SIGSTOP)
            try:
                with pytest.raises(TooLate):
                    await client.rerank("ranker", QUERY, TEXTS, Deadline.after(300))
                for _ in range(100):  # each would be late by itself
                    with pytest.raises(Unavailable, match="does not answer"):
                        await client.rerank("ranker", QUERY, TEXTS, NEVER)
                assert await client.unready() == [f"{server.url} does not answer"]
            finally:
                process.send_signal(signal.SIGCONT)
            await recovered(client, server)

        server.asked(ask)

    def test_known_queries_need_no_process(self, server: Server) -> None:
        process = server.running()

        async def ask(client: ModelService) -> None:
            before = await client.embed(server.system, TEXTS, NEVER)
            process.send_signal(signal.SIGSTOP)
            try:
                again = await client.embed(server.system, TEXTS[::-1], NEVER)
            finally:
                process.send_signal(signal.SIGCONT)
            np.testing.assert_array_equal(again, before[::-1])

        server.asked(ask)

    def test_after_a_kill_the_client_finds_the_next_process_which_has_the_same_models_warm(
        self, server: Server
    ) -> None:
        process = server.running()

        async def ask(client: ModelService) -> None:
            await client.rerank("ranker", QUERY, TEXTS, NEVER)
            process.kill()
            process.wait()
            with pytest.raises(Unavailable):
                await client.rerank("ranker", QUERY, TEXTS, NEVER)
            await asyncio.to_thread(server.running)
            assert "ranker" in json.dumps(server.get("/info"))
            await recovered(client, server)

        server.asked(ask)

    def test_what_is_too_much_is_refused_with_a_time_and_the_rest_is_answered(self, server: Server) -> None:
        server.running()

        async def ask(client: ModelService) -> list[object]:
            asked = (client.rerank("ranker", f"{QUERY} {n}", MANY[:400], NEVER) for n in range(8))
            return await asyncio.gather(*asked, return_exceptions=True)

        found = server.asked(ask)
        refused = [one for one in found if isinstance(one, Overloaded)]
        assert refused
        assert all(one.retry_after > 0 for one in refused)
        answered = [one for one in found if isinstance(one, np.ndarray)]
        assert len(answered) + len(refused) == 8
        assert answered
        assert all(np.isfinite(one).all() for one in answered)

    def test_work_of_a_client_that_went_away_is_given_up(self, server: Server) -> None:
        server.running()

        async def ask(client: ModelService) -> None:
            task = asyncio.create_task(client.rerank("ranker", "gone", MANY, NEVER))
            while not await asyncio.to_thread(server.metric, "msm_models_queue_tokens"):
                await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.wait([task])

        before = server.metric('msm_models_requests_total{endpoint="/models/rerank",outcome="gone"}')
        server.asked(ask)
        gone = 'msm_models_requests_total{endpoint="/models/rerank",outcome="gone"}'
        eventually(lambda: server.metric(gone) == before + 1)
        eventually(lambda: server.metric("msm_models_queue_tokens") == 0)

    def test_on_sigterm_what_is_under_way_is_finished(self, server: Server) -> None:
        process = server.running()

        async def ask(client: ModelService) -> np.ndarray:
            task = asyncio.create_task(client.rerank("ranker", "drained", MANY[:500], NEVER))
            while not await asyncio.to_thread(server.metric, "msm_models_queue_tokens"):
                await asyncio.sleep(0.01)
            process.terminate()
            return await task

        assert np.isfinite(server.asked(ask)).all()
        assert process.wait(20) in (0, -signal.SIGTERM)
