"""The systems there are: `registry.yaml` and those that the user added to the store.

A name resolves exactly, or by its spelling: `MiniLM-L-6` reads like `MiniLM-L6`, `_` like `-`, case and
a leading `msmarco-` (or hub organisation) do not count, as the names of the same models differ between
hub, documentation and the reference file. Two systems never read alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from services.errors import Conflict, InputError, NotFound, UsageError
from services.store import Store
from services.systems.system import NAME, Score, System

_FILE = Path(__file__).with_name("registry.yaml")
_FOLDER = "systems"
_RESERVED = "hybrid"  # in `evaluate` and `search`: all systems of an index, fused
M = TypeVar("M", bound=BaseModel)


def spelling(name: str) -> str:
    """What all spellings of a system's name have in common."""
    plain = name.rsplit("/", 1)[-1].lower().replace("_", "-")
    return re.sub(r"-l-(\d+)", r"-l\1", plain).removeprefix("msmarco-")


class Registry:
    """All systems by name, in registry order, user-added ones last (by name)."""

    def __init__(self, systems: list[System]) -> None:
        self._systems: dict[str, System] = {}
        self._spellings: dict[str, str] = {}
        slugs: dict[str, str] = {}
        for system in systems:
            for taken, key in ((slugs, system.slug), (self._spellings, spelling(system.name))):
                if key in taken:
                    raise Conflict(
                        f"system '{system.name}' reads like '{taken[key]}' (both are '{key}')",
                        hint="choose a name that differs in letters or digits",
                    )
                taken[key] = system.name
            self._systems[system.name] = system.model_copy(update={"order": len(self._systems)})

    @classmethod
    def load(cls, store: Store) -> Registry:
        """The built-in systems and the store's.

        Raises:
            InputError: an entry is not valid.
            Conflict: two names read alike.
        """
        added = [
            parse_system(store.read_json(f"{_FOLDER}/{name}"), store.location(f"{_FOLDER}/{name}"))
            for name in store.children(_FOLDER)
            if name.endswith(".json")
        ]
        return cls([*builtin(), *added])

    def __iter__(self) -> Iterator[System]:
        return iter(self._systems.values())

    def get(self, name: str) -> System:
        """The system of that name, in any of its spellings.

        Raises:
            NotFound: there is none; the message has the nearest names.
        """
        found = self._systems.get(name) or self._systems.get(self._spellings.get(spelling(name), ""))
        if found is None:
            wanted = spelling(name)
            matches = [known for known in self._spellings if wanted in known]
            matches += get_close_matches(wanted, self._spellings, n=3)
            near = ", ".join(self._spellings[match] for match in dict.fromkeys(matches[:3]))
            raise NotFound(
                f"no system '{name}'" + (f"; near: {near}" if near else ""),
                hint="`msmctl systems ls` lists them, `msmctl systems add` adds one",
            )
        return found

    def is_builtin(self, system: System) -> bool:
        """Whether the system comes with msmctl."""
        return system.order < len(builtin())


class _File(BaseModel):
    """`registry.yaml`: sources by short name, and the systems whose scores cite them."""

    model_config = ConfigDict(extra="forbid")

    sources: dict[str, str]
    systems: list[System]


@cache
def builtin() -> tuple[System, ...]:
    """The systems of `registry.yaml`, in its order, each score with its source written out."""
    file = _parse(_File, yaml.safe_load(_FILE.read_text("utf-8")), str(_FILE))

    def cited(score: Score) -> Score:
        return score.model_copy(update={"source": file.sources[score.source]})

    return tuple(
        system.model_copy(update={"scores": tuple(map(cited, system.scores))}) for system in file.systems
    )


def parse_system(raw: Any, where: str) -> System:
    """A system from its JSON form; an InputError that begins with `where` if it is not valid."""
    return _parse(System, raw, where)


def require_name(name: str) -> None:
    """See that a user may call a system so.

    Raises:
        UsageError: it is no name, or means something else.
    """
    if not re.fullmatch(NAME, name):
        raise UsageError(
            f"'{name}' cannot be the name of a system",
            hint="a name has 1 to 63 letters (a-z, A-Z), digits, '.', '_' or '-', a letter or digit first",
        )
    if spelling(name) == _RESERVED:
        raise UsageError(
            f"'{name}' cannot be the name of a system: '{_RESERVED}' is the fused search of an index",
            hint="choose another name, such as my-hybrid",
        )


def save(store: Store, system: System, *, replace: bool = False, dry_run: bool = False) -> None:
    """Add a user's system to the store, or (`dry_run`) only say whether that could be done.

    Raises:
        Conflict: the name is taken, by a built-in system or (without `replace`) by an added one.
    """
    registry = Registry.load(store)
    others = [known for known in registry if known.name != system.name]
    known = next((known for known in registry if known.name == system.name), None)
    if known is not None and (not replace or registry.is_builtin(known)):
        raise Conflict(
            f"system '{system.name}' exists already",
            hint="choose another name; --replace replaces a system that was added by a user",
        )
    Registry([*others, system])
    if not dry_run:
        store.write_json(f"{_FOLDER}/{system.name}.json", system.model_dump(mode="json", exclude={"order"}))


def _parse(model: type[M], raw: Any, where: str) -> M:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"])) or "entry"
        raise InputError(f"{where}: {at}: {first['msg']} (got {first.get('input')!r})") from error
