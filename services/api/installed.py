"""Which models are installed: for requests that name none, and for `/info`."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass

from services.cross_encoders import models as ce_models
from services.cross_encoders.registry import CrossEncoders
from services.errors import UsageError
from services.store import Store
from services.systems import models as system_models
from services.systems.registry import Registry

SECONDS = 20.0
"""How long an answer counts."""


@dataclass(frozen=True)
class Names:
    """Installed systems and cross-encoders."""

    systems: tuple[str, ...]
    cross_encoders: tuple[str, ...]


class Installed:
    """What a store has, looked up now and then; belongs to one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known = (-math.inf, Names((), ()))

    async def names(self) -> Names:
        """All that is installed."""
        at, names = self._known
        if time.monotonic() - at > SECONDS:
            names = await asyncio.to_thread(_look, self._store)
            self._known = time.monotonic(), names
        return names

    async def system(self, asked: str | None) -> str:
        """The system that a request names; where it names none, the only one.

        Raises:
            UsageError: there are several, or none.
        """
        return asked or _only("system", (await self.names()).systems, "msmctl systems pull NAME")

    async def cross_encoder(self, asked: str | None) -> str:
        """As `system`, of cross-encoders."""
        return asked or _only("cross-encoder", (await self.names()).cross_encoders, "msmctl ce pull NAME")


def _only(kind: str, names: tuple[str, ...], install: str) -> str:
    if len(names) == 1:
        return names[0]
    there = ", ".join(names) or "none"
    hint = "name it in the request: model" if names else f"`{install}` installs one"
    raise UsageError(f"model: which {kind}? Installed are: {there}", hint=hint)


def _look(store: Store) -> Names:
    systems = [
        system.name
        for system in Registry.load(store)
        if system.is_dense and system_models.installed(store, system) is not None
    ]
    scorers = [ce.name for ce in CrossEncoders.load(store) if ce_models.installed(store, ce) is not None]
    return Names(tuple(systems), tuple(scorers))
