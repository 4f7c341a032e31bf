"""Which models a store has: for requests that name none, and for those who ask what there is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from services.cross_encoders import models as ce_models
from services.cross_encoders.registry import CrossEncoders
from services.deadline import Deadline
from services.errors import UsageError
from services.search.kept import Kept
from services.store import Store
from services.systems import models as system_models
from services.systems.registry import Registry

SECONDS = 20.0
"""How long an answer of the store counts as new."""
_PATIENT = Deadline()


@dataclass(frozen=True)
class Names:
    """Installed systems, those that make vectors and those that make term weights, and cross-encoders."""

    systems: tuple[str, ...]
    sparse: tuple[str, ...]
    cross_encoders: tuple[str, ...]


class Installed:
    """What a store has, as it last said (see `services.search.kept`). Belongs to one event loop.

    Every method raises `TooLate`, and what the store raises, where the store was never heard.
    """

    def __init__(self, store: Store) -> None:
        self._names = Kept("the list of installed models", partial(_look, store), SECONDS, 3 * SECONDS)

    async def names(self, deadline: Deadline = _PATIENT) -> Names:
        """All that is installed."""
        return await self._names.get(deadline)

    async def system(self, asked: str | None, deadline: Deadline = _PATIENT) -> str:
        """The system that a request names; where it names none, the only one.

        Raises:
            UsageError: there are several, or none.
        """
        return asked or _only("system", (await self.names(deadline)).systems, "msmctl systems pull NAME")

    async def sparse(self, asked: str | None, deadline: Deadline = _PATIENT) -> str:
        """As `system`, of those that make term weights."""
        return asked or _only(
            "sparse system", (await self.names(deadline)).sparse, "msmctl systems pull NAME"
        )

    async def cross_encoder(self, asked: str | None, deadline: Deadline = _PATIENT) -> str:
        """As `system`, of cross-encoders."""
        return asked or _only(
            "cross-encoder", (await self.names(deadline)).cross_encoders, "msmctl ce pull NAME"
        )


def _only(kind: str, names: tuple[str, ...], install: str) -> str:
    if len(names) == 1:
        return names[0]
    there = ", ".join(names) or "none"
    hint = "name it: `model` in a request, `--rerank NAME`" if names else f"`{install}` installs one"
    raise UsageError(f"model: which {kind}? Installed are: {there}", hint=hint)


def _look(store: Store) -> Names:
    encoders = [
        system
        for system in Registry.load(store)
        if system.encodes and system_models.installed(store, system) is not None
    ]
    dense = [system.name for system in encoders if system.is_dense]
    sparse = [system.name for system in encoders if not system.is_dense]
    scorers = [ce.name for ce in CrossEncoders.load(store) if ce_models.installed(store, ce) is not None]
    return Names(tuple(dense), tuple(sparse), tuple(scorers))
