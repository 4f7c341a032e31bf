"""The models that are loaded: on first use, once however many ask, the longest unused put away for room.

A model of a name is looked up anew now and then, so that one that was pulled or trained meanwhile is used
without a restart.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Literal

from services.cross_encoders import models as ce_models
from services.cross_encoders.registry import CrossEncoders
from services.encoding.encoder import fresh_encoder
from services.errors import InputError, MsmError, NotFound
from services.inference.runners import EncoderRunner, ScorerRunner, SparseRunner
from services.models.entry import spelling
from services.scoring.scorer import fresh_scorer
from services.settings import Settings
from services.store import Store, fingerprint
from services.systems import models as system_models
from services.systems.profile import profile_of
from services.systems.registry import Registry

Kind = Literal["system", "sparse system", "cross-encoder"]
Key = tuple[Kind, str]
"""Kind and spelling: all spellings of a name are one model, loaded once."""
AnyRunner = EncoderRunner | SparseRunner | ScorerRunner

FRESH, STALE = 2.0, 60.0
"""Seconds for which a look-up holds; until `STALE` the known model is used while it is looked up again."""
MOST_REFUSED = 256
"""Names whose refusal is remembered: whoever asks chooses them."""


@dataclass(frozen=True)
class _Present:
    """What a name stands for now: its entry's own name; `identity` decides whether it is loaded already."""

    name: str
    identity: str
    checkpoint: str
    bytes: int
    load: Callable[[], AnyRunner]


@dataclass
class _Kept:
    present: _Present
    runner: AnyRunner
    checked: float
    used: float


class Shelf:
    """Runners by name, of one event loop.

    Args:
        settings: Device, threads, and `models_mb`: all models' files together.
        store: Where models are.
        loader: Thread in which models are looked up and loaded.
        on_change: Called after what is loaded has changed.
    """

    def __init__(
        self, settings: Settings, store: Store, loader: Executor, on_change: Callable[[], None]
    ) -> None:
        self._settings, self._store, self._loader, self._on_change = settings, store, loader, on_change
        self._kept: dict[Key, _Kept] = {}
        self._refused: dict[Key, tuple[MsmError, float]] = {}
        self._opening: dict[Key, asyncio.Task[AnyRunner]] = {}

    async def encoder(self, name: str, checkpoint: str | None = None) -> EncoderRunner:
        """The encoder of a dense system.

        Args:
            name: Of the system, in any spelling.
            checkpoint: The one that is wanted: it is looked up anew unless the known one is this.

        Raises:
            NotFound: no such system, or its model is not there.
            MsmError: it cannot be loaded.
        """
        runner = await self._get("system", name, checkpoint)
        assert isinstance(runner, EncoderRunner)  # noqa: S101 - by its key
        return runner

    async def sparse(self, name: str, checkpoint: str | None = None) -> SparseRunner:
        """The encoder of a sparse system. Arguments and errors as of `encoder`."""
        runner = await self._get("sparse system", name, checkpoint)
        assert isinstance(runner, SparseRunner)  # noqa: S101 - by its key
        return runner

    async def scorer(self, name: str) -> ScorerRunner:
        """The scorer of a cross-encoder. Raises: as `encoder`."""
        runner = await self._get("cross-encoder", name, None)
        assert isinstance(runner, ScorerRunner)  # noqa: S101 - by its key
        return runner

    @property
    def loaded(self) -> dict[tuple[Kind, str], AnyRunner]:
        """What is loaded, by kind and the registry's name, the longest unused first."""
        kept = ((key, self._kept[key]) for key in self._by_use)
        return {(kind, one.present.name): one.runner for (kind, _), one in kept}

    @property
    def _by_use(self) -> list[Key]:
        """Keys of what is loaded, the longest unused first."""
        return sorted(self._kept, key=lambda key: self._kept[key].used)

    @property
    def bytes(self) -> int:
        """Size of the files of all loaded models."""
        return sum(one.present.bytes for one in self._kept.values())

    async def _get(self, kind: Kind, name: str, checkpoint: str | None) -> AnyRunner:
        key = kind, spelling(name)
        now, kept = time.monotonic(), self._kept.get(key)
        if kept is not None:
            kept.used = now
            age = now - kept.checked
            if checkpoint in (None, kept.present.checkpoint) and age < STALE:
                if age > FRESH:
                    self._open(key, name)
                return kept.runner
        refused, until = self._refused.get(key, (None, 0.0))
        if refused is not None and now < until:
            raise refused.with_traceback(None)  # each raise would add to it
        return await asyncio.shield(self._open(key, name))

    def _open(self, key: Key, name: str) -> asyncio.Task[AnyRunner]:
        """Look a name up and load what it stands for; one task for all who wait."""
        task = self._opening.get(key)
        if task is None:
            task = self._opening[key] = asyncio.get_running_loop().create_task(self._opened(key, name))
            task.add_done_callback(lambda done: self._closed(key, done))
        return task

    def _closed(self, key: Key, task: asyncio.Task[AnyRunner]) -> None:
        del self._opening[key]
        error = None if task.cancelled() else task.exception()
        if isinstance(error, MsmError):
            self._refuse(key, error)
            if self._kept.pop(key, None) is not None:
                self._on_change()

    def _refuse(self, key: Key, error: MsmError) -> None:
        """Remember a refusal: a folder of gigabytes that is damaged is not read again for every request."""
        now = time.monotonic()
        self._refused.pop(key, None)
        while self._refused:  # the first is the oldest
            oldest = next(iter(self._refused))
            if len(self._refused) < MOST_REFUSED and now < self._refused[oldest][1]:
                break
            del self._refused[oldest]
        self._refused[key] = error.with_traceback(None), now + FRESH

    async def _opened(self, key: Key, name: str) -> AnyRunner:
        loop = asyncio.get_running_loop()
        present = await loop.run_in_executor(self._loader, self._look_up, key[0], name)
        kept = self._kept.get(key)
        if kept is not None and kept.present.identity == present.identity:
            kept.checked = time.monotonic()
            return kept.runner
        self._make_room(present.bytes, key)
        runner = await loop.run_in_executor(self._loader, present.load)
        now = time.monotonic()
        self._kept[key] = _Kept(present, runner, checked=now, used=now)
        self._on_change()
        return runner

    def _make_room(self, needed: int, key: Key) -> None:
        self._kept.pop(key, None)
        room = self._settings.models_mb * 2**20
        while self._kept and self.bytes + needed > room:
            del self._kept[self._by_use[0]]

    def _look_up(self, kind: Kind, name: str) -> _Present:
        if kind != "cross-encoder":
            return self._encoder(kind, name)
        ce = CrossEncoders.load(self._store).get(name)
        scored = ce_models.required(self._store, ce)
        return _Present(
            ce.name,
            fingerprint([scored.fingerprint, ce.model_dump(mode="json")]),
            scored.fingerprint,
            scored.bytes,
            lambda: ScorerRunner(fresh_scorer(self._store, ce, scored, self._settings), scored),
        )

    def _encoder(self, kind: Kind, name: str) -> _Present:
        system = Registry.load(self._store).get(name)
        if not system.encodes:
            raise InputError(f"system '{system.name}' has no encoder")
        makes = "vectors" if kind == "system" else "term weights"
        if system.kind != ("dense" if kind == "system" else "sparse"):
            raise NotFound(
                f"system '{system.name}' makes no {makes}",
                hint=f"it is {system.kind}: `msmctl systems ls` lists those that do",
            )
        model = system_models.required(self._store, system)
        profile = profile_of(system, model.own)

        def load() -> EncoderRunner | SparseRunner:
            encoder: Any = fresh_encoder(self._store, model, profile, self._settings)
            return EncoderRunner(encoder, model) if kind == "system" else SparseRunner(encoder, model)

        return _Present(
            system.name,
            fingerprint([model.fingerprint, profile.model_dump(mode="json")]),
            model.fingerprint,
            model.bytes,
            load,
        )
