"""Models asked over HTTP: our own models process, or a server that speaks a foreign dialect."""

from __future__ import annotations

from collections.abc import Sequence

from services.deadline import Deadline
from services.elastic.mapping import ServedSystem
from services.inference.models import Embedded, Floats, PromptKind, Reranked
from services.settings import Settings
from services.store import Store


class HttpModels:
    """See `services.inference.models.ModelService`. Belongs to one event loop."""

    def __init__(self, settings: Settings, store: Store, embed_url: str, rerank_url: str) -> None:
        self._urls = (embed_url, rerank_url)

    async def embed(self, system: ServedSystem, texts: Sequence[str], deadline: Deadline) -> Floats:
        """See `Models`."""
        raise NotImplementedError

    async def rerank(self, model: str, query: str, texts: Sequence[str], deadline: Deadline) -> Floats:
        """See `Models`."""
        raise NotImplementedError

    async def embedded(
        self, model: str, texts: Sequence[str], kind: PromptKind, deadline: Deadline
    ) -> Embedded:
        """See `ModelService`."""
        raise NotImplementedError

    async def reranked(self, model: str, query: str, texts: Sequence[str], deadline: Deadline) -> Reranked:
        """See `ModelService`."""
        raise NotImplementedError

    async def warm(self, names: Sequence[str]) -> None:
        """See `ModelService`."""
        raise NotImplementedError

    async def close(self) -> None:
        """See `ModelService`."""
        raise NotImplementedError
