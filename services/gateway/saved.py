"""Aliases whose searches are answered in a mode that was saved for them: for clients that cannot send `ext`.

One JSON file per alias lies in the store, where every gateway finds it: `gateway/<alias>.json`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote, unquote

from pydantic import BaseModel, ConfigDict, ValidationError

from services.errors import MsmError, NotFound, UsageError
from services.search.request import RerankSpec
from services.store import Store

logger = logging.getLogger(__name__)

PERIOD = 3.0
"""Seconds between two looks at what is saved."""
_FOLDER = "gateway"
_NEVER = frozenset(' ,"*\\<>|?/#:')
Mode = Literal["hybrid", "dense", "sparse"]


class Saved(BaseModel):
    """How an alias is answered.

    Attributes:
        alias: Of an index of ours.
        collection: Whose passages it holds.
        mode: Which legs.
        fusion: None: the default.
        rerank: None: the fused order is final.
        budget_ms: None: as long as it takes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    alias: str
    collection: str
    mode: Mode
    fusion: str | None = None
    rerank: RerankSpec | None = None
    budget_ms: float | None = None

    def request(self) -> dict[str, Any]:
        """The same as a search request has it."""
        return self.model_dump(exclude={"alias", "collection"}, exclude_none=True)


def save(store: Store, saved: Saved) -> None:
    """Save, in place of what was saved for the alias.

    Raises:
        UsageError: no alias can have this name.
    """
    store.write_json(_key(saved.alias), saved.model_dump())


def remove(store: Store, alias: str) -> Saved:
    """Forget an alias; returns what was saved.

    Raises:
        NotFound: nothing was. MsmError: its file is damaged.
    """
    key = _key(alias)
    found = _read(store, key)
    if found is None:
        raise NotFound(f"nothing is saved for alias '{alias}'", hint="`msmctl gateway ls` lists what is")
    store.remove(key)
    return found


def load(store: Store) -> dict[str, Saved]:
    """All that is saved, by alias.

    Raises:
        MsmError: a file is damaged.
    """
    found = (_read(store, f"{_FOLDER}/{name}") for name in store.children(_FOLDER))
    return {saved.alias: saved for saved in found if saved}


def _read(store: Store, key: str) -> Saved | None:
    """What one file says; None where there is none, or no longer.

    Raises:
        MsmError: it is damaged.
    """
    value = store.read_json(key)
    try:
        return None if value is None else Saved.model_validate(value)
    except ValidationError as error:
        where = store.location(key)
        raise MsmError(f"{where}: damaged: {error}", hint="remove it; set the alias again") from error


def _key(alias: str) -> str:
    if not alias or alias[0] in "_-+." or _NEVER & set(alias) or not alias.isprintable():
        raise UsageError(f"'{alias}' is no name of an alias", hint="such as msm-squad: one name, no pattern")
    return f"{_FOLDER}/{quote(alias, safe='')}.json"


@dataclass
class Aliases:
    """What is saved, as the gateway remembers it: a search never waits for the store.

    Use as an asynchronous context: inside, it is read again and again in the background.

    Attributes:
        store: Where it lies.
    """

    store: Store
    _known: Mapping[str, Saved] = field(default_factory=dict)
    _reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.read()
        self._reading = asyncio.create_task(self._read_on())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reading:
            self._reading.cancel()

    def get(self, index: str | None) -> Saved | None:
        """What is saved for an alias."""
        return self._known.get(index) if index else None

    def named_in(self, body: bytes) -> bool:
        """Whether a body names such an alias anywhere."""
        return any(alias.encode() in body for alias in self._known)

    async def read(self) -> None:
        """Read what is saved. What cannot be read leaves its last state in force: one alias, or all."""
        try:
            self._known = await asyncio.to_thread(self._readable)
        except Exception as error:
            _tell("saved aliases", error)

    def _readable(self) -> dict[str, Saved]:
        known = {}
        for name in self.store.children(_FOLDER):
            alias = unquote(name.removesuffix(".json"))
            try:
                saved = _read(self.store, f"{_FOLDER}/{name}")
            except Exception as error:
                _tell(f"saved alias '{alias}'", error)
                saved = self._known.get(alias)
            if saved:
                known[saved.alias] = saved
        return known

    async def _read_on(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            await self.read()


def _tell(what: str, error: Exception) -> None:
    """In the log; with its trace where it is a defect rather than the store's state."""
    defect = None if isinstance(error, MsmError | OSError) else error
    logger.warning("%s cannot be read, the last state counts: %s", what, error, exc_info=defect)
