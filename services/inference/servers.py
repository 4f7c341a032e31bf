"""Servers that can be asked for vectors or scores: our models process, and those of foreign dialects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol

import numpy as np

from services.deadline import Deadline
from services.encoding.weights import Weights
from services.errors import NotFound
from services.inference import wire
from services.inference.channel import Channel
from services.inference.dialects import cohere, openai, tei
from services.inference.models import Embedded, Floats, PromptKind, Reranked, Weighed
from services.inference.prompts import Prompts

SLICE = 256
"""Texts per request for vectors: an answer every now and then, however many there are."""
_RETURN = 0.015
"""Seconds kept for an answer's way back, but at most a tenth of what is left."""


class Asked(Protocol):
    """Whoever is asked."""

    async def warm(self, names: Sequence[str]) -> None:
        """See `ModelService`."""

    async def unready(self) -> list[str]:
        """See `ModelService`."""

    async def close(self) -> None:
        """See `ModelService`."""


class Embedder(Asked, Protocol):
    """Whoever makes vectors."""

    async def embedded(
        self, model: str, texts: Sequence[str], kind: PromptKind, deadline: Deadline, checkpoint: str | None
    ) -> Embedded:
        """See `ModelService.embedded`; `checkpoint` is the one that is hoped for."""

    async def weighed(
        self, model: str, texts: Sequence[str], kind: PromptKind, deadline: Deadline, checkpoint: str | None
    ) -> Weighed:
        """See `ModelService.weighed`; `checkpoint` is the one that is hoped for."""


class Reranker(Asked, Protocol):
    """Whoever scores."""

    async def reranked(self, model: str, query: str, texts: Sequence[str], deadline: Deadline) -> Reranked:
        """See `ModelService`."""


class Server:
    """Base of all: a channel."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    async def warm(self, names: Sequence[str]) -> None:
        """Foreign servers have one model, and it is loaded."""

    async def unready(self) -> list[str]:
        """See `ModelService`."""
        return [] if await self.channel.answers() else [f"{self.channel.url} does not answer"]

    async def close(self) -> None:
        """See `ModelService`."""
        await self.channel.close()


class ModelsProcess(Server):
    """`python -m services.inference`, here or on another host."""

    async def embedded(
        self, model: str, texts: Sequence[str], kind: PromptKind, deadline: Deadline, checkpoint: str | None
    ) -> Embedded:
        """See `Embedder`."""
        body = {"model": model, "kind": kind, "checkpoint": checkpoint}
        return await _in_slices(texts, SLICE, lambda some: self.channel.post(
            wire.EMBED, body | {"texts": list(some), "budget_ms": _budget(deadline)}, deadline,
            lambda answer: wire.read_embedded(answer.body, answer.headers, len(some)),
        ))  # fmt: skip

    async def weighed(
        self, model: str, texts: Sequence[str], kind: PromptKind, deadline: Deadline, checkpoint: str | None
    ) -> Weighed:
        """See `Embedder`."""
        body = {"model": model, "kind": kind, "checkpoint": checkpoint}
        return await _weighed_in_slices(texts, SLICE, lambda some: self.channel.post(
            wire.WEIGH, body | {"texts": list(some), "budget_ms": _budget(deadline)}, deadline,
            lambda answer: wire.read_weighed(answer.body, answer.headers, len(some)),
        ))  # fmt: skip

    async def reranked(self, model: str, query: str, texts: Sequence[str], deadline: Deadline) -> Reranked:
        """See `Reranker`."""
        body = {"model": model, "query": query, "texts": list(texts), "budget_ms": _budget(deadline)}
        return await self.channel.post(
            wire.RERANK,
            body,
            deadline,
            lambda answer: wire.read_reranked(answer.body, answer.headers, len(texts)),
        )

    async def warm(self, names: Sequence[str]) -> None:
        """See `ModelService`."""
        await self.channel.post(wire.WARM, {"names": list(names)}, Deadline.after(2000), lambda answer: None)

    async def unready(self) -> list[str]:
        """See `ModelService`."""
        answer = await self.channel.get(wire.READY)
        if answer is None:
            return [f"{self.channel.url} does not answer"]
        try:
            reasons: list[str] = answer.json()["reasons"]
        except (ValueError, KeyError, TypeError):
            return [f"{self.channel.url}{wire.READY} answers something else: is it the models process?"]
        return [f"{self.channel.url}: {why}" for why in reasons]


class TeiServer(Server):
    """One model behind text-embeddings-inference, or what speaks like it."""

    def __init__(self, channel: Channel, prompts: Prompts) -> None:
        super().__init__(channel)
        self._prompts = prompts

    async def embedded(
        self, model: str, texts: Sequence[str], kind: PromptKind, deadline: Deadline, checkpoint: str | None
    ) -> Embedded:
        """See `Embedder`."""
        usage = await self._prompts.of(model)
        found = await _in_slices(usage.put(texts, kind), tei.BATCH, lambda some: self.channel.post(
            tei.EMBED, tei.ask_embed(some), deadline, lambda answer: tei.read_embed(answer.json(), len(some))
        ))  # fmt: skip
        return usage.finished(found)

    async def weighed(
        self, model: str, texts: Sequence[str], kind: PromptKind, deadline: Deadline, checkpoint: str | None
    ) -> Weighed:
        """See `Embedder`."""
        usage = await self._prompts.of(model)
        return await _weighed_in_slices(usage.put(texts, kind), tei.BATCH, lambda some: self.channel.post(
            tei.SPARSE, tei.ask_sparse(some), deadline,
            lambda answer: tei.read_sparse(answer.json(), len(some)),
        ))  # fmt: skip

    async def reranked(self, model: str, query: str, texts: Sequence[str], deadline: Deadline) -> Reranked:
        """See `Reranker`."""
        slices = list(_slices(texts, tei.BATCH))
        found = await asyncio.gather(
            *(
                self.channel.post(
                    tei.RERANK,
                    tei.ask_rerank(query, some),
                    deadline,
                    lambda answer, some=some: tei.read_rerank(answer.json(), len(some)),  # type: ignore[misc]
                )
                for some in slices
            ),
            return_exceptions=True,
        )
        return Reranked(_beginning(found, len(texts)), 0, "")


class OpenAiServer(Server):
    """A server with OpenAI's embeddings. `name` is what it calls the model; empty: what we call it."""

    def __init__(self, channel: Channel, prompts: Prompts, name: str) -> None:
        super().__init__(channel)
        self._prompts = prompts
        self._name = name

    async def embedded(
        self, model: str, texts: Sequence[str], kind: PromptKind, deadline: Deadline, checkpoint: str | None
    ) -> Embedded:
        """See `Embedder`."""
        usage = await self._prompts.of(model)
        found = await _in_slices(usage.put(texts, kind), SLICE, lambda some: self.channel.post(
            openai.PATH, openai.ask(self._name or model, some), deadline,
            lambda answer: openai.read(answer.json(), len(some)),
        ))  # fmt: skip
        return usage.finished(found)

    async def weighed(
        self, model: str, texts: Sequence[str], kind: PromptKind, deadline: Deadline, checkpoint: str | None
    ) -> Weighed:
        """See `Embedder`. OpenAI's shape has no term weights."""
        raise NotFound(
            f"{self.channel.url} speaks OpenAI's dialect, which has no term weights",
            hint="MSM_EMBED_URL of a models process or of text-embeddings-inference makes them",
        )


class CohereServer(Server):
    """A server with Cohere's rerank. `name` as of `OpenAiServer`."""

    def __init__(self, channel: Channel, name: str) -> None:
        super().__init__(channel)
        self._name = name

    async def reranked(self, model: str, query: str, texts: Sequence[str], deadline: Deadline) -> Reranked:
        """See `Reranker`."""
        if not texts:
            return Reranked(np.empty(0, np.float32), 0, "")
        scores = await self.channel.post(
            cohere.PATHS[2],
            cohere.ask(self._name or model, query, texts),
            deadline,
            lambda answer: cohere.read(answer.json(), len(texts)),
        )
        return Reranked(scores, 0, "")


def _budget(deadline: Deadline) -> float | None:
    left = deadline.timeout
    return None if left is None else max(0.1, (left - min(_RETURN, left / 10)) * 1000)


def _slices(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (texts[at : at + size] for at in range(0, len(texts), size))


async def _in_slices(
    texts: Sequence[str], size: int, ask: Callable[[Sequence[str]], Awaitable[Embedded]]
) -> Embedded:
    """Vectors of slices after each other, as one answer; no texts are one empty slice."""
    found = [await ask(some) for some in _slices(texts, size)] or [await ask(texts)]
    return Embedded(
        np.concatenate([one.vectors for one in found]), sum(one.tokens for one in found), found[0].checkpoint
    )


async def _weighed_in_slices(
    texts: Sequence[str], size: int, ask: Callable[[Sequence[str]], Awaitable[Weighed]]
) -> Weighed:
    """As `_in_slices`, of term weights."""
    found = [await ask(some) for some in _slices(texts, size)] or [await ask(texts)]
    dim = max(one.weights.dim for one in found)
    weights = Weights.joined([one.weights for one in found], dim)
    return Weighed(weights, sum(one.tokens for one in found), found[0].checkpoint)


def _beginning(found: Sequence[Floats | BaseException], count: int) -> Floats:
    """Scores of slices, NaN from the first that failed; its error where there is nothing before it."""
    scores = np.full(count, np.nan, np.float32)
    done = 0
    for one in found:
        if isinstance(one, BaseException):
            if not done:
                raise one
            break
        scores[done : done + len(one)] = one
        done += len(one)
    return scores
