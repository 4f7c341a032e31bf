"""Query vectors and term weights seen lately, kept on the asking side.

They are kept here rather than in the models process because a search whose query is known keeps its dense
legs while that process is away, and saves the trip while it is not.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import numpy as np

from services.deadline import Deadline
from services.elastic.mapping import ServedSystem
from services.encoding.weights import Weights
from services.inference.models import Embedded, Floats, ModelService, PromptKind, Reranked, Weighed
from services.inference.token_cache import text_key

MOST = 4096
"""Vectors: 6 MB at 384 dimensions, 16 MB at 1,024."""


class RememberingModels:
    """A `ModelService` in front of another that remembers what `embed` answered."""

    def __init__(self, models: ModelService, most: int = MOST) -> None:
        self._models = models
        self._most = most
        # The index's fingerprint covers model, prompts and length: another checkpoint is another key.
        self._known: OrderedDict[tuple[str, str, bytes], Floats | Weights] = OrderedDict()

    async def embed(self, system: ServedSystem, texts: Sequence[str], deadline: Deadline) -> Floats:
        """See `Models`."""
        rows = await self._rows(system, texts, lambda missing: self._models.embed(system, missing, deadline))
        return np.stack(rows) if rows else np.empty((0, system.dims), np.float32)

    async def weigh(self, system: ServedSystem, texts: Sequence[str], deadline: Deadline) -> Weights:
        """See `Models`."""

        async def one_by_one(missing: Sequence[str]) -> list[Weights]:
            made = await self._models.weigh(system, missing, deadline)
            return [made.part(n, n + 1) for n in range(len(made))]

        return Weights.joined(await self._rows(system, texts, one_by_one), system.dims)

    async def _rows(
        self,
        system: ServedSystem,
        texts: Sequence[str],
        make: Callable[[Sequence[str]], Awaitable[Iterable[Any]]],
    ) -> list[Any]:
        """What the system makes of each text; those that are not known are made together."""
        keys = [(system.name, system.fingerprint, text_key(text)) for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        found = {key: self._known[key] for key in keys if key in self._known}
        if missing:
            found |= zip(missing, await make(list(missing.values())), strict=True)
        for key in keys:
            self._known[key] = found[key]
            self._known.move_to_end(key)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return [found[key] for key in keys]

    async def rerank(self, model: str, query: str, texts: Sequence[str], deadline: Deadline) -> Floats:
        """See `Models`."""
        return await self._models.rerank(model, query, texts, deadline)

    async def embedded(
        self, model: str, texts: Sequence[str], kind: PromptKind, deadline: Deadline
    ) -> Embedded:
        """See `ModelService`."""
        return await self._models.embedded(model, texts, kind, deadline)

    async def weighed(
        self, model: str, texts: Sequence[str], kind: PromptKind, deadline: Deadline
    ) -> Weighed:
        """See `ModelService`."""
        return await self._models.weighed(model, texts, kind, deadline)

    async def reranked(self, model: str, query: str, texts: Sequence[str], deadline: Deadline) -> Reranked:
        """See `ModelService`."""
        return await self._models.reranked(model, query, texts, deadline)

    async def warm(self, names: Sequence[str]) -> None:
        """See `ModelService`."""
        await self._models.warm(names)

    async def unready(self) -> list[str]:
        """See `ModelService`."""
        return await self._models.unready()

    async def close(self) -> None:
        """See `ModelService`."""
        await self._models.close()
