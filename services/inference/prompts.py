"""What a foreign encoder does not know of a system of ours: its prompts, and whether its vectors are unit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.inference.dialects.tei import unit
from services.inference.models import Embedded, PromptKind
from services.models.entry import spelling
from services.store import Store
from services.systems.models import installed
from services.systems.profile import profile_of
from services.systems.registry import Registry


@dataclass(frozen=True)
class Usage:
    """How a system is used: what is put before queries and passages, and whether vectors have unit length."""

    query: str
    passage: str
    normalised: bool

    def put(self, texts: Sequence[str], kind: PromptKind) -> list[str]:
        """Texts with their prompts."""
        prompt = self.query if kind == "query" else self.passage
        return [prompt + text for text in texts]

    def finished(self, found: Embedded) -> Embedded:
        """Vectors as ours would be."""
        return replace(found, vectors=unit(found.vectors)) if self.normalised else found


class Prompts:
    """Usages of systems, from registry and store; each looked up once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, Usage] = {}

    async def of(self, name: str) -> Usage:
        """Of the system of that name, whose model need not be in the store.

        Raises:
            NotFound: there is none.
        """
        key = spelling(name)
        if key not in self._known:
            self._known[key] = await asyncio.to_thread(self._look_up, name)
        return self._known[key]

    def _look_up(self, name: str) -> Usage:
        system = Registry.load(self._store).get(name)
        model = installed(self._store, system)
        if model is None:
            prompts, similarity = system.prompts, system.similarity
            return Usage(prompts.query or "", prompts.passage or "", similarity == "cosine")
        profile = profile_of(system, model.own)
        return Usage(profile.query_prompt, profile.passage_prompt, profile.similarity == "cosine")
