"""A registry: entries of a YAML file that comes with msmctl, and those that a user added to the store.

A name resolves exactly, or by its spelling; two entries never read alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from services.errors import Conflict, InputError, NotFound, UsageError
from services.models.entry import NAME, Entry, Score, spelling
from services.store import Store

E = TypeVar("E", bound=Entry)
M = TypeVar("M", bound=BaseModel)


class NamedEntries(Generic[E]):
    """All entries by name, in the file's order, user-added ones last (by name).

    Attributes:
        noun: What an entry is called in messages.
        command: The group of commands that lists and adds entries.
        file: The YAML file: `sources` by short name, and the entries under `key`.
        key: Their key in the file, and the folder of the added ones in the store.
        entry: Their type.
    """

    noun: ClassVar[str]
    command: ClassVar[str]
    file: ClassVar[Path]
    key: ClassVar[str]
    entry: ClassVar[Any]

    def __init__(self, entries: Sequence[E]) -> None:
        self._entries: dict[str, E] = {}
        self._spellings: dict[str, str] = {}
        slugs: dict[str, str] = {}
        for entry in entries:
            for taken, key in ((slugs, entry.slug), (self._spellings, spelling(entry.name))):
                if key in taken:
                    raise Conflict(
                        f"{self.noun} '{entry.name}' reads like '{taken[key]}' (both are '{key}')",
                        hint="choose a name that differs in letters or digits",
                    )
                taken[key] = entry.name
            self._entries[entry.name] = entry.model_copy(update={"order": len(self._entries)})

    @classmethod
    def load(cls, store: Store) -> Self:
        """The built-in entries and the store's.

        Raises:
            InputError: an entry is not valid.
            Conflict: two names read alike.
        """
        added = [
            cls.parse(store.read_json(f"{cls.key}/{name}"), store.location(f"{cls.key}/{name}"))
            for name in store.children(cls.key)
            if name.endswith(".json")
        ]
        return cls([*cls.builtin(), *added])

    @classmethod
    def builtin(cls) -> tuple[E, ...]:
        """The entries of the file, in its order, each figure with its source written out."""
        entries: tuple[E, ...] = _builtin(cls.file, cls.key, cls.entry)
        return entries

    @classmethod
    def parse(cls, raw: Any, where: str) -> E:
        """An entry from its JSON form; an InputError that begins with `where` if it is not valid."""
        entry: E = _parse(cls.entry, raw, where)
        return entry

    @classmethod
    def require_name(cls, name: str) -> None:
        """UsageError unless a user may call an entry so."""
        if not re.fullmatch(NAME, name):
            raise UsageError(
                f"'{name}' cannot be the name of a {cls.noun}",
                hint="a name has 1 to 63 letters (a-z, A-Z), digits, '.', '_' or '-', "
                "a letter or digit first",
            )

    @classmethod
    def save(cls, store: Store, entry: E, *, replace: bool = False, dry_run: bool = False) -> None:
        """Add a user's entry to the store, or (`dry_run`) only say whether that could be done.

        Raises:
            Conflict: the name is taken, by a built-in entry or (without `replace`) by an added one.
        """
        registry = cls.load(store)
        others = [known for known in registry if known.name != entry.name]
        known = next((known for known in registry if known.name == entry.name), None)
        if known is not None and (not replace or registry.is_builtin(known)):
            raise Conflict(
                f"{cls.noun} '{entry.name}' exists already",
                hint=f"choose another name; --replace replaces a {cls.noun} that was added by a user",
            )
        cls([*others, entry])
        if not dry_run:
            store.write_json(f"{cls.key}/{entry.name}.json", entry.model_dump(mode="json", exclude={"order"}))

    def __iter__(self) -> Iterator[E]:
        return iter(self._entries.values())

    def get(self, name: str) -> E:
        """The entry of that name, in any of its spellings.

        Raises:
            NotFound: there is none; the message has the nearest names.
        """
        found = self._entries.get(name) or self._entries.get(self._spellings.get(spelling(name), ""))
        if found is None:
            wanted = spelling(name)
            matches = [known for known in self._spellings if wanted in known]
            matches += get_close_matches(wanted, self._spellings, n=3)
            near = ", ".join(self._spellings[match] for match in dict.fromkeys(matches[:3]))
            raise NotFound(
                f"no {self.noun} '{name}'" + (f"; near: {near}" if near else ""),
                hint=f"`msmctl {self.command} ls` lists them, `msmctl {self.command} add` adds one",
            )
        return found

    def is_builtin(self, entry: E) -> bool:
        """Whether the entry comes with msmctl."""
        return entry.order < len(self.builtin())


@cache
def _builtin(file: Path, key: str, kind: type[E]) -> tuple[E, ...]:
    raw = yaml.safe_load(file.read_text("utf-8"))
    sources: dict[str, str] = raw["sources"]

    def cited(score: Score) -> Score:
        return score.model_copy(update={"source": sources[score.source]})

    entries = (_parse(kind, entry, str(file)) for entry in raw[key])
    return tuple(entry.model_copy(update={"scores": tuple(map(cited, entry.scores))}) for entry in entries)


def _parse(model: type[M], raw: Any, where: str) -> M:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"])) or "entry"
        raise InputError(f"{where}: {at}: {first['msg']} (got {first.get('input')!r})") from error
