"""`filter_path`: the parts of an answer that the caller wants, as Elasticsearch reads the patterns."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from typing import Any

Steps = tuple[str, ...]
_NOTHING = object()


def filtered(value: Any, patterns: Sequence[str]) -> Any:
    """A value without what is not wanted.

    Args:
        value: An answer.
        patterns: Paths with dots; `*` is any part of one name, `**` any names; a `-` in front excludes.

    Returns:
        `{}` where nothing is left.
    """
    wanted = [_steps(pattern) for pattern in patterns if not pattern.startswith("-")]
    unwanted = [_steps(pattern[1:]) for pattern in patterns if pattern.startswith("-")]
    kept = _keep(value, wanted) if wanted else value
    kept = _drop(kept, unwanted) if unwanted and kept is not _NOTHING else kept
    return {} if kept is _NOTHING else kept


def _steps(pattern: str) -> Steps:
    return tuple(pattern.split("."))


def _further(paths: Sequence[Steps], name: str) -> list[Steps]:
    """What is left of the paths under a name; an empty one ends there."""
    left: list[Steps] = []
    for path in paths:
        if path[0] == "**":
            left.append(path)
            left += _further([path[1:]], name) if path[1:] else [()]
        elif re.fullmatch(fnmatch.translate(path[0].replace("[", "[[]").replace("?", "[?]")), name):
            left.append(path[1:])
    return left


def _keep(value: Any, paths: list[Steps]) -> Any:
    if isinstance(value, list):
        found = [kept for item in value if (kept := _keep(item, paths)) is not _NOTHING]
        return found or _NOTHING
    if not isinstance(value, dict):
        return _NOTHING
    result = {}
    for name, inner in value.items():
        further = _further(paths, name)
        kept = inner if () in further else _keep(inner, further) if further else _NOTHING
        if kept is not _NOTHING:
            result[name] = kept
    return result or _NOTHING


def _drop(value: Any, paths: list[Steps]) -> Any:
    if isinstance(value, list):
        return [kept for item in value if (kept := _drop(item, paths)) is not _NOTHING]
    if not isinstance(value, dict):
        return value
    result = {}
    for name, inner in value.items():
        further = _further(paths, name)
        if () not in further:
            result[name] = _drop(inner, further) if further else inner
    return result
