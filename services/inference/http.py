"""Models asked over HTTP: our own models process, or a server that speaks a foreign dialect."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from services.deadline import Deadline
from services.elastic.mapping import ServedSystem
from services.encoding.weights import Weights
from services.errors import MsmError
from services.inference.checks import require_checkpoint, require_dims
from services.inference.models import Embedded, Floats, PromptKind, Reranked, Weighed
from services.inference.servers import Asked, Embedder, Reranker


class HttpModels:
    """See `services.inference.models.ModelService`. Belongs to one event loop.

    Args:
        embedder: Makes vectors.
        reranker: Scores; often the same server.
    """

    def __init__(self, embedder: Embedder, reranker: Reranker) -> None:
        self._embedder = embedder
        self._reranker = reranker

    async def embed(self, system: ServedSystem, texts: Sequence[str], deadline: Deadline) -> Floats:
        """See `Models`. Of a foreign server, which does not say its checkpoint, only the width is checked."""
        found = await self._embedder.embedded(system.name, texts, "query", deadline, system.model)
        if found.checkpoint:
            require_checkpoint(system, found.checkpoint)
        require_dims(system, found.vectors.shape[1])
        return found.vectors

    async def weigh(self, system: ServedSystem, texts: Sequence[str], deadline: Deadline) -> Weights:
        """See `Models`. Of a foreign server as `embed`; it says of the width no more than it used."""
        found = await self._embedder.weighed(system.name, texts, "query", deadline, system.model)
        if found.checkpoint:
            require_checkpoint(system, found.checkpoint)
            require_dims(system, found.weights.dim)
        elif found.weights.dim > system.dims:
            require_dims(system, found.weights.dim)
        return found.weights

    async def rerank(self, model: str, query: str, texts: Sequence[str], deadline: Deadline) -> Floats:
        """See `Models`."""
        return (await self.reranked(model, query, texts, deadline)).scores

    async def embedded(
        self, model: str, texts: Sequence[str], kind: PromptKind, deadline: Deadline
    ) -> Embedded:
        """See `ModelService`."""
        return await self._embedder.embedded(model, texts, kind, deadline, None)

    async def weighed(
        self, model: str, texts: Sequence[str], kind: PromptKind, deadline: Deadline
    ) -> Weighed:
        """See `ModelService`."""
        return await self._embedder.weighed(model, texts, kind, deadline, None)

    async def reranked(self, model: str, query: str, texts: Sequence[str], deadline: Deadline) -> Reranked:
        """See `ModelService`."""
        return await self._reranker.reranked(model, query, texts, deadline)

    async def warm(self, names: Sequence[str]) -> None:
        """See `ModelService`."""
        for server in self._servers():
            try:
                await server.warm(names)
            except MsmError:
                continue  # whoever needs the models is told so when he asks

    async def unready(self) -> list[str]:
        """See `ModelService`."""
        found = await asyncio.gather(*(server.unready() for server in self._servers()))
        return [why for reasons in found for why in reasons]

    async def close(self) -> None:
        """See `ModelService`."""
        for server in self._servers():
            await server.close()

    def _servers(self) -> list[Asked]:
        """Each once."""
        return list({id(server): server for server in (self._embedder, self._reranker)}.values())
