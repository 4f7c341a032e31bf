"""Who asks for models: what is remembered, when a server is given up, which server an address means."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from services.deadline import Deadline
from services.elastic.mapping import ServedSystem
from services.errors import (
    AuthError,
    Conflict,
    InputError,
    MsmError,
    NotFound,
    Overloaded,
    TooLate,
    Unavailable,
    UsageError,
)
from services.inference import channel as channel_module
from services.inference import warmth, wire
from services.inference.breaker import Breaker
from services.inference.channel import Answer, Channel
from services.inference.checks import require_dims
from services.inference.choose import models
from services.inference.local import beginning
from services.inference.models import Embedded
from services.inference.remembering import RememberingModels
from services.inference.servers import ModelsProcess
from services.inference.token_cache import ENTRY, TokenCache
from services.settings import Settings, load
from services.store import Store

SYSTEM = ServedSystem(name="s", slug="s", dims=2, similarity="dot", fingerprint="one", model="m")
NEVER = Deadline()


class Counting:
    """Vectors of [length, 1], and what was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    async def embed(self, system: ServedSystem, texts: list[str], deadline: Deadline) -> np.ndarray:
        self.asked.append(list(texts))
        return np.array([[len(text), 1] for text in texts], np.float32)


class TestRememberedVectors:
    def ask(self, models: RememberingModels, texts: list[str], system: ServedSystem = SYSTEM) -> list[float]:
        return asyncio.run(models.embed(system, texts, NEVER))[:, 0].tolist()

    def test_a_text_is_asked_once_and_answers_keep_their_order(self) -> None:
        counting = Counting()
        remembering = RememberingModels(counting)  # type: ignore[arg-type]
        assert self.ask(remembering, ["aa", "b", "aa"]) == [2, 1, 2]
        assert self.ask(remembering, ["ccc", "b", "aa"]) == [3, 1, 2]
        assert counting.asked == [["aa", "b"], ["ccc"]]

    def test_vectors_of_another_index_are_others(self) -> None:
        counting = Counting()
        remembering = RememberingModels(counting)  # type: ignore[arg-type]
        for fingerprint in ("one", "two"):
            self.ask(remembering, ["a"], SYSTEM.model_copy(update={"fingerprint": fingerprint}))
        assert counting.asked == [["a"], ["a"]]

    def test_of_a_text_only_a_hash_is_kept_however_long_it_is(self) -> None:
        remembering = RememberingModels(Counting())  # type: ignore[arg-type]
        assert self.ask(remembering, ["a" * 100_000, "\ud800"]) == [100_000, 1]
        assert [len(key[2]) for key in remembering._known] == [16, 16]

    def test_the_longest_unused_are_forgotten(self) -> None:
        counting = Counting()
        remembering = RememberingModels(counting, most=2)  # type: ignore[arg-type]
        for text in ("a", "b", "a", "c", "a", "b"):
            self.ask(remembering, [text])
        assert counting.asked == [["a"], ["b"], ["c"], ["b"]]


class TestBreaker:
    def test_after_silence_requests_fail_at_once_until_a_probe_is_answered(self) -> None:
        answers = [False, False, True]

        async def probe() -> bool:
            return answers.pop(0)

        async def scenario() -> None:
            breaker = Breaker("http://there", probe)
            await breaker.check()
            breaker.trip("does not answer")
            with pytest.raises(Unavailable, match="http://there: does not answer"):
                await breaker.check()
            while breaker.is_open:
                await asyncio.sleep(0.01)
            await breaker.check()
            assert answers == []

        asyncio.run(scenario())

    @pytest.mark.parametrize("there", [True, False])
    def test_who_gave_up_waiting_is_believed_only_when_a_probe_agrees(self, there: bool) -> None:
        async def probe() -> bool:
            return there

        async def scenario() -> None:
            breaker = Breaker("http://there", probe)
            breaker.suspect()
            assert not breaker.is_open
            await asyncio.sleep(0.01)
            assert breaker.is_open is not there
            await breaker.close()

        asyncio.run(scenario())


class TestChannel:
    """Against a server of two paths: one answers at once, one never."""

    @staticmethod
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := (await reader.readline()).decode():
            length = 0
            while header := (await reader.readline()).decode().strip():
                name, _, value = header.partition(": ")
                length = int(value) if name == "Content-Length" else length
            await reader.readexactly(length)
            if "/never" not in line:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    def ask(self, alive: str, course: Callable[[Channel], Awaitable[None]]) -> None:
        async def scenario() -> None:
            async with await asyncio.start_server(self.serve, "127.0.0.1", 0) as server:
                channel = Channel(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", alive, None)
                await course(channel)
                await channel.close()

        asyncio.run(scenario())

    @pytest.mark.parametrize("milliseconds", [1, 300])
    def test_a_deadline_that_passes_in_silence_says_nothing_of_who_answers_a_probe(
        self, milliseconds: float
    ) -> None:
        async def course(channel: Channel) -> None:
            with pytest.raises(TooLate):
                await channel.post("/never", {}, Deadline.after(milliseconds), Answer.json)
            assert not channel.breaker.is_open
            assert await channel.post("/at-once", {}, Deadline.after(5000), Answer.json) == {}
            assert not channel.breaker.is_open

        self.ask("/at-once", course)

    def test_who_answers_no_probe_either_is_given_up_and_those_who_came_meanwhile_are_told(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(channel_module, "PROBE", 0.1)

        async def course(channel: Channel) -> None:
            with pytest.raises(TooLate):
                await channel.post("/never", {}, Deadline.after(50), Answer.json)
            with pytest.raises(TooLate):  # the deadline counts, whatever the probe will say
                await channel.post("/at-once", {}, Deadline.after(20), Answer.json)
            assert not channel.breaker.is_open
            for _ in range(2):
                with pytest.raises(Unavailable, match="does not answer"):
                    await channel.post("/at-once", {}, NEVER, Answer.json)
            assert channel.breaker.is_open

        self.ask("/never", course)

    def test_what_answers_as_no_models_process_does_is_a_reason_for_not_being_ready(self) -> None:
        async def scenario() -> None:
            async with await asyncio.start_server(self.serve, "127.0.0.1", 0) as server:
                port = server.sockets[0].getsockname()[1]
                process = ModelsProcess(Channel(f"http://127.0.0.1:{port}", "/", None))
                (reason,) = await process.unready()
                assert "/readyz answers something else" in reason
                await process.close()

        asyncio.run(scenario())

    def test_an_answer_that_is_none_is_not_taken_for_one(self) -> None:
        async def scenario() -> None:
            async with await asyncio.start_server(self.serve, "127.0.0.1", 0) as server:
                port = server.sockets[0].getsockname()[1]
                channel = Channel(f"http://127.0.0.1:{port}", "/", None)
                with pytest.raises(Unavailable, match="an answer that is none"):
                    await channel.post("/at-once", {}, NEVER, lambda answer: answer.json()["data"])
                await channel.close()

        asyncio.run(scenario())


class TestAddresses:
    def made(self, tmp_path: Path, **urls: str) -> RememberingModels:
        settings = load(home=tmp_path, **urls)
        return models(settings, Store(settings.store_url))  # type: ignore[return-value]

    @pytest.mark.parametrize(
        ("name", "url"),
        [
            ("embed_url", "there:8080"),
            ("embed_url", "ftp://there"),
            ("embed_url", "cohere+https://there"),
            ("rerank_url", "openai+https://there"),
            ("rerank_url", "tei+there"),
        ],
    )
    def test_what_is_no_address_of_models_is_refused_with_those_that_are(
        self, tmp_path: Path, name: str, url: str
    ) -> None:
        with pytest.raises(UsageError, match=f"MSM_{name.upper()}: .*is no address of models") as refused:
            self.made(tmp_path, **{name: url})
        assert "tei+http://" in str(refused.value.hint)

    @pytest.mark.parametrize("name", ["embed_url", "rerank_url"])
    def test_a_password_in_it_is_refused_and_not_repeated(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(InputError, match="no user and password") as refused:
            load(home=tmp_path, **{name: "http://user:geheim@there"})
        assert "geheim" not in str(refused.value)

    def test_nobody_there_is_said_with_the_address(self, tmp_path: Path) -> None:
        async def ask() -> None:
            client = self.made(tmp_path, embed_url="http://127.0.0.1:9", rerank_url="http://127.0.0.1:9")
            try:
                with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:9"):
                    await client.rerank("ce", "q", ["t"], Deadline.after(5000))
            finally:
                await client.close()

        asyncio.run(ask())

    def test_vectors_of_another_width_are_refused(self) -> None:
        with pytest.raises(
            Conflict, match="answers vectors of 3 dimensions; those of 's' in the index have 2"
        ):
            require_dims(SYSTEM, 3)


class TestWire:
    @pytest.mark.parametrize(
        "error",
        [
            NotFound("none", hint="ls"),
            Conflict("taken"),
            TooLate("late"),
            Overloaded("full", retry_after=2.5),
            Unavailable("away"),
            InputError("text"),
            UsageError("how"),
            AuthError("who"),
            MsmError("what"),
        ],
        ids=lambda error: error.code,
    )
    def test_an_error_arrives_as_it_was_sent(self, error: MsmError) -> None:
        arrived = wire.error_of(wire.status_of(error), wire.body_of(error), "http://there")
        assert type(arrived) is type(error)
        assert (arrived.message, arrived.hint) == (error.message, error.hint)
        assert getattr(arrived, "retry_after", None) == getattr(error, "retry_after", None)

    @pytest.mark.parametrize(("status", "kind"), [(401, AuthError), (422, InputError), (500, Unavailable)])
    def test_a_foreign_server_s_errors_are_told_by_their_status(self, status: int, kind: type) -> None:
        arrived = wire.error_of(status, {"error": {"message": "no key"}}, "http://there")
        assert type(arrived) is kind
        assert "http://there: HTTP" in arrived.message
        assert "no key" in arrived.message

    @pytest.mark.parametrize(
        "body", [None, {"detail": "Not Found"}, {"message": "no model 'x'", "code": 404}], ids=str
    )
    def test_a_foreign_404_is_a_server_that_cannot_be_used_and_no_name_that_a_search_gave(
        self, body: object
    ) -> None:
        arrived = wire.error_of(404, body, "http://there")
        assert type(arrived) is Unavailable
        assert "MSM_RERANK_URL" in (arrived.hint or "")

    def test_vectors_arrive_bit_for_bit(self) -> None:
        vectors = np.array([[1.5, -0.0], [np.float32(1) / 3, 1e-38]], np.float32)
        headers = wire.embedded_headers(Embedded(vectors, 7, "fp"))
        arrived = wire.read_embedded(wire.packed(vectors), headers, 2)
        assert arrived.vectors.tobytes() == vectors.tobytes()
        assert (arrived.tokens, arrived.checkpoint) == (7, "fp")

    def test_an_answer_of_another_size_is_refused(self) -> None:
        with pytest.raises(ValueError, match="reshape"):
            wire.read_reranked(b"\0" * 8, {"msm-tokens": "1", "msm-checkpoint": ""}, 3)


class TestTokenCache:
    def test_a_text_is_tokenised_once_wherever_it_occurs(self) -> None:
        made: list[list[str]] = []

        def make(texts: list[str]) -> list[list[int]]:
            made.append(texts)
            return [[len(text)] for text in texts]

        cache: TokenCache[list[int]] = TokenCache(len)
        assert cache.of(["a", "bb", "a"], make) == [[1], [2], [1]]
        assert cache.of(["bb", "ccc"], make) == [[2], [3]]
        assert made == [["a", "bb"], ["ccc"]]

    def test_it_holds_no_more_tokens_than_it_may_the_longest_unused_go(self) -> None:
        cache: TokenCache[list[int]] = TokenCache(len, most=2 * ENTRY + 5)
        for text in ("aa", "bb", "aa", "cc"):
            cache.of([text], lambda texts: [[0] * len(text) for text in texts])
        assert cache.held == 2 * ENTRY + 4
        asked: list[str] = []
        cache.of(["aa", "cc", "bb"], lambda texts: [asked.append(text) or [0, 0] for text in texts])
        assert asked == ["bb"]

    def test_texts_without_a_token_are_bounded_too(self) -> None:
        cache: TokenCache[list[int]] = TokenCache(len, most=3 * ENTRY)
        asked: list[str] = []
        for text in ("a", "b", "c", "d", "a", "d"):
            cache.of([text], lambda texts: [asked.append(text) or [] for text in texts])
        assert asked == ["a", "b", "c", "d", "a"]

    def test_what_cannot_be_tokenised_is_not_kept(self) -> None:
        cache: TokenCache[list[int]] = TokenCache(len)

        def refuse(texts: list[str]) -> list[list[int]]:
            raise InputError("no")

        with pytest.raises(InputError):
            cache.of(["\ud800"], refuse)
        assert cache.held == 0


class TestReached:
    def test_scores_end_where_the_first_is_missing(self) -> None:
        found = beginning("ce", [1.0, -2.0, None, 4.0])
        assert found[:2].tolist() == [1.0, -2.0]
        assert all(math.isnan(score) for score in found[2:])

    def test_not_one_is_too_late_none_asked_is_not(self) -> None:
        with pytest.raises(TooLate, match="not one of 2 texts"):
            beginning("ce", [None, 1.0])
        assert len(beginning("ce", [])) == 0


class TestWarmth:
    def test_names_are_stated_or_remembered(self, tmp_path: Path) -> None:
        settings = Settings(home=tmp_path)
        assert warmth.remembered(settings) == warmth.stated(settings) == []
        warmth.remember(settings, ["b", "a", "b"])
        assert warmth.remembered(settings) == ["a", "b"]
        assert warmth.stated(Settings(home=tmp_path, warm="x, y,")) == ["x", "y"]

    @pytest.mark.parametrize("content", ["", "{}", "[", "3", "\ud83d"])
    def test_a_spoilt_memory_costs_the_warmth_only(self, tmp_path: Path, content: str) -> None:
        settings = Settings(home=tmp_path)
        path = warmth.memory_file(settings)
        path.parent.mkdir()
        path.write_bytes(content.encode("utf-8", "surrogatepass"))
        assert warmth.remembered(settings) == []
