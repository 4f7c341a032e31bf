"""Models in this process: loaded once, computed in threads, so that the event loop is never blocked.

Passages, which searches can do without, are computed with a low priority: where Elasticsearch and the API
need the same cores, they go first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, TypeVar

import numpy as np

from services.deadline import Deadline
from services.elastic.mapping import ServedSystem
from services.encoding.weights import Weights
from services.errors import MsmError, NotFound, TooLate
from services.inference.batching import Batcher, Block, Piece
from services.inference.checks import require_checkpoint
from services.inference.models import Embedded, Floats, PromptKind, Reranked, Weighed
from services.inference.priority import stand_back
from services.inference.runners import EncoderRunner, SparseRunner
from services.inference.shelf import Shelf
from services.inference.tokeniser import CHARACTERS, Tokeniser
from services.settings import Settings
from services.store import Store

SMALL = 1024
"""Tokens: several queries with more wait behind passages."""

T = TypeVar("T")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Watch:
    """Who is told what goes on, for metrics.

    Attributes:
        block: After every block.
        stage: After a stage (`load`, `tokenise`) of a request, with its seconds.
        change: After models were loaded or put away.
    """

    block: Callable[[Block], None] = lambda block: None
    stage: Callable[[str, float], None] = lambda stage, seconds: None
    change: Callable[[], None] = lambda: None


class LocalModels:
    """See `services.inference.models.ModelService`. Belongs to one event loop.

    Args:
        settings: `device`, `threads`, `queue_tokens`, `models_mb`.
        store: Where models are.
        watch: For metrics.
    """

    def __init__(self, settings: Settings, store: Store, watch: Watch | None = None) -> None:
        self._watch = watch or Watch()
        # A thread of its own: a long load must not hold up the tokeniser.
        self._loader = ThreadPoolExecutor(1, "loader", stand_back)
        self._tokeniser = Tokeniser(CHARACTERS * settings.queue_tokens)
        self.shelf = Shelf(settings, store, self._loader, self._watch.change)
        # A query's vector is little work that all legs wait for: it waits behind no block of passages.
        self.queries = Batcher(settings.queue_tokens, self._watch.block, partial(_use_threads, settings))
        self.passages = Batcher(settings.queue_tokens, self._watch.block, partial(_passages_thread, settings))
        self.failed: dict[str, MsmError] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def embed(self, system: ServedSystem, texts: Sequence[str], deadline: Deadline) -> Floats:
        """See `Models`."""
        found = await self.embedded(system.name, texts, "query", deadline, system.model)
        require_checkpoint(system, found.checkpoint)
        return found.vectors

    async def weigh(self, system: ServedSystem, texts: Sequence[str], deadline: Deadline) -> Weights:
        """See `Models`."""
        found = await self.weighed(system.name, texts, "query", deadline, system.model)
        require_checkpoint(system, found.checkpoint)
        return found.weights

    async def rerank(self, model: str, query: str, texts: Sequence[str], deadline: Deadline) -> Floats:
        """See `Models`."""
        return (await self.reranked(model, query, texts, deadline)).scores

    async def embedded(
        self,
        model: str,
        texts: Sequence[str],
        kind: PromptKind,
        deadline: Deadline,
        checkpoint: str | None = None,
    ) -> Embedded:
        """See `ModelService`; `checkpoint` is the one that is hoped for, another may answer."""
        runner = await self._in_time("load", model, self.shelf.encoder(model, checkpoint), deadline)
        values, tokens = await self._encoded(model, runner, texts, kind, deadline)
        vectors = np.stack(values) if values else np.empty((0, runner.dim), np.float32)
        return Embedded(vectors, tokens, runner.checkpoint)

    async def weighed(
        self,
        model: str,
        texts: Sequence[str],
        kind: PromptKind,
        deadline: Deadline,
        checkpoint: str | None = None,
    ) -> Weighed:
        """See `ModelService`; `checkpoint` as of `embedded`."""
        runner = await self._in_time("load", model, self.shelf.sparse(model, checkpoint), deadline)
        values, tokens = await self._encoded(model, runner, texts, kind, deadline)
        return Weighed(Weights.joined(values, runner.dim), tokens, runner.checkpoint)

    async def _encoded(
        self,
        model: str,
        runner: EncoderRunner | SparseRunner,
        texts: Sequence[str],
        kind: PromptKind,
        deadline: Deadline,
    ) -> tuple[list[Any], int]:
        """What the runner makes of each text, and how many tokens they have."""
        pieces = await self._pieces(model, texts, lambda: runner.pieces(texts, kind), deadline)
        batcher = self.queries if _small(kind, pieces, deadline) else self.passages
        values = await batcher.compute(runner, pieces, deadline)
        _raise_first(values)
        if any(value is None for value in values):
            raise TooLate(f"{model}: not all of {len(texts)} texts can be encoded by the deadline")
        return list(values), _tokens(pieces)

    async def reranked(self, model: str, query: str, texts: Sequence[str], deadline: Deadline) -> Reranked:
        """See `ModelService`."""
        runner = await self._in_time("load", model, self.shelf.scorer(model), deadline)
        asked = [query, *texts]
        pieces = await self._pieces(model, asked, lambda: runner.pieces(query, texts), deadline)
        values = await self.passages.compute(runner, pieces, deadline)
        _raise_first(values)
        return Reranked(beginning(model, values), _tokens(pieces), runner.checkpoint)

    async def imported(self) -> None:
        """Once what every model needs is imported, which takes seconds.

        In the thread that loads: transformers imports lazily, which fails where two threads do it at once.
        """
        await asyncio.get_running_loop().run_in_executor(self._loader, _import_libraries)

    async def warm(self, names: Sequence[str], *, optional: bool = False) -> None:
        """See `ModelService`; a name that cannot be loaded stands in `failed` until it can.

        Args:
            names: Of systems or cross-encoders.
            optional: A name that stands for nothing is no failure.
        """
        for name in names:
            task = asyncio.get_running_loop().create_task(self._warm(name, optional), name=name)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    @property
    def loading(self) -> list[str]:
        """Names that are being made warm."""
        return sorted(task.get_name() for task in self._tasks)

    async def unready(self) -> list[str]:
        """See `ModelService`."""
        loading = [f"{name} is being loaded" for name in self.loading]
        return loading + [f"{name}: {error.message}" for name, error in sorted(self.failed.items())]

    async def close(self) -> None:
        """See `ModelService`."""
        for task in list(self._tasks):
            task.cancel()
        await self.queries.close()
        await self.passages.close()
        self._loader.shutdown(wait=False, cancel_futures=True)
        self._tokeniser.close()

    async def _warm(self, name: str, optional: bool) -> None:
        """Load the system, dense or sparse, and the cross-encoder of that name, whichever there is."""
        self.failed.pop(name, None)
        outcomes = await asyncio.gather(
            self.shelf.encoder(name),
            self.shelf.sparse(name),
            self.shelf.scorer(name),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, MsmError):
                raise outcome
        errors = [outcome for outcome in outcomes if isinstance(outcome, MsmError)]
        worse = [error for error in errors if not isinstance(error, NotFound)]
        if worse or (len(errors) == len(outcomes) and not optional):
            self.failed[name] = (worse or errors)[0]
            logger.warning("%s is not warm: %s", name, self.failed[name].message)

    async def _pieces(
        self, model: str, texts: Sequence[str], make: Callable[[], list[Piece]], deadline: Deadline
    ) -> list[Piece]:
        made = self._tokeniser.pieces(model, texts, make)
        return await self._in_time("tokenise", model, made, deadline)

    async def _in_time(self, stage: str, model: str, work: Awaitable[T], deadline: Deadline) -> T:
        began = time.monotonic()
        try:
            async with asyncio.timeout(deadline.timeout):
                return await work
        except TimeoutError as error:
            raise TooLate(f"{model}: the deadline passed during: {stage}") from error
        finally:
            self._watch.stage(stage, time.monotonic() - began)


def _passages_thread(settings: Settings) -> None:
    stand_back()
    _use_threads(settings)


def _use_threads(settings: Settings) -> None:
    """Of a new thread: else torch gives it what another happens to use just then."""
    from services.models.torch_runtime import use_threads

    use_threads(settings.threads)


def _small(kind: PromptKind, pieces: Sequence[Piece], deadline: Deadline) -> bool:
    """The query of a search that somebody waits for, or few; evaluations have no deadline."""
    few = len(pieces) == 1 or _tokens(pieces) <= SMALL
    return kind == "query" and deadline.timeout is not None and few


def beginning(model: str, values: Sequence[float | None]) -> Floats:
    """Scores up to the first that is missing, NaN from there. TooLate where that is the first of all."""
    reached = values.index(None) if None in values else len(values)
    if values and not reached:
        raise TooLate(f"{model}: not one of {len(values)} texts can be scored by the deadline")
    return np.array([*values[:reached], *[np.nan] * (len(values) - reached)], np.float32)


def _raise_first(values: Sequence[Any]) -> None:
    for value in values:
        if isinstance(value, Exception):
            raise value


def _tokens(pieces: Sequence[Piece]) -> int:
    return sum(piece.tokens for piece in pieces)


def _import_libraries() -> None:
    for name in ("torch", "transformers.models.auto"):
        import_module(name)
