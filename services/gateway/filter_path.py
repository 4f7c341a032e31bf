"""`filter_path`: the parts of an answer that the caller wants, as Elasticsearch reads the patterns."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

Places = frozenset[tuple[int, int]]
Step = str | re.Pattern[str]
_ANY = "**"
_NOTHING = object()


class _Paths:
    """Patterns as one machine: from a set of places in them, each name leads on to another.

    There are no more places than steps, however deep the answer and whatever the patterns; and the way on
    is looked for once for each set and name, since hits are alike.

    Args:
        patterns: Steps with dots between them.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._paths = [_steps(pattern) for pattern in patterns]
        self.start: Places = frozenset((n, 0) for n in range(len(self._paths)))
        self.further = cache(self._further)

    def end(self, places: Places) -> bool:
        """Whether one of the patterns ends here."""
        return any(at >= len(self._paths[n]) for n, at in places)

    def _further(self, places: Places, name: str) -> Places:
        found = set()
        for n, at in places:
            path, here = self._paths[n], at
            if path[here] == _ANY:
                found.add((n, here))
                here += 1
            if here == len(path) or _matches(path[here], name):
                found.add((n, here + 1))
        return frozenset(found)


def filtered(value: Any, patterns: Sequence[str]) -> Any:
    """A value without what is not wanted.

    Args:
        value: An answer.
        patterns: Paths with dots; `*` is any part of one name, `**` any names; a `-` in front excludes.

    Returns:
        `{}` where nothing is left.
    """
    wanted = _Paths([pattern for pattern in patterns if not pattern.startswith("-")])
    unwanted = _Paths([pattern[1:] for pattern in patterns if pattern.startswith("-")])
    kept = _keep(value, wanted, wanted.start) if wanted.start else value
    kept = _drop(kept, unwanted, unwanted.start) if unwanted.start and kept is not _NOTHING else kept
    return {} if kept is _NOTHING else kept


def _steps(pattern: str) -> list[Step]:
    names = pattern.split(".")
    return [_step(name) for n, name in enumerate(names) if not (n and name == names[n - 1] == _ANY)]


def _step(name: str) -> Step:
    if name == _ANY or "*" not in name:
        return name
    return re.compile(fnmatch.translate(name.replace("[", "[[]").replace("?", "[?]")))


def _matches(step: Step, name: str) -> bool:
    return step == name if isinstance(step, str) else step.fullmatch(name) is not None


def _keep(value: Any, paths: _Paths, places: Places) -> Any:
    if isinstance(value, list):
        found = [kept for item in value if (kept := _keep(item, paths, places)) is not _NOTHING]
        return found or _NOTHING
    if not isinstance(value, dict):
        return _NOTHING
    result = {}
    for name, inner in value.items():
        further = paths.further(places, name)
        kept = inner if paths.end(further) else _keep(inner, paths, further) if further else _NOTHING
        if kept is not _NOTHING:
            result[name] = kept
    return result or _NOTHING


def _drop(value: Any, paths: _Paths, places: Places) -> Any:
    if isinstance(value, list):
        return [kept for item in value if (kept := _drop(item, paths, places)) is not _NOTHING]
    if not isinstance(value, dict):
        return value
    result = {}
    for name, inner in value.items():
        further = paths.further(places, name)
        if not paths.end(further):
            result[name] = _drop(inner, paths, further) if further else inner
    return result
