"""What a collection, a split and a metadata field may be called."""

from __future__ import annotations

import re

from services.errors import UsageError

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}", re.ASCII)
_RESERVED = ("jobs", "chunks", "dead", "marks", "keys", "searches")  # indices of our own: msm-jobs …
_ENDING = re.compile(r"-(queries|negatives|adhoc|v\d+)\Z", re.ASCII)  # as the indices of a collection end
_TAKEN = ("pid", "text", "title", "metadata", "id", "_id")


def check_collection(name: str) -> str:
    """The name, when a collection may have it.

    Raises:
        UsageError: it says what is wrong and which names are allowed.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"bad collection name {name!r}", hint="1 to 63 of a-z, 0-9, '_', '-', the first a letter or digit"
        )
    if name in _RESERVED:
        raise UsageError(f"the name '{name}' is reserved", hint=f"reserved: {', '.join(_RESERVED)}")
    if name.startswith("searches-"):  # an index per day of the log of searches: msm-searches-2026.11.21
        raise UsageError(f"the name '{name}' begins with 'searches-', as the log of searches does")
    if ending := _ENDING.search(name):
        raise UsageError(
            f"the name '{name}' ends in '{ending[0]}', as an index of ours does",
            hint="choose a name without -queries, -negatives, -adhoc or -v<number> at its end",
        )
    return name


def check_split(name: str) -> str:
    """The name, when a split may have it; UsageError otherwise."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"bad split name {name!r}", hint="such as train, dev or test: 1 to 63 of a-z, 0-9, '_', '-'"
        )
    return name


def check_field(name: str) -> str:
    """The name, when a metadata field may have it; UsageError otherwise."""
    if not _FIELD.fullmatch(name) or name in _TAKEN:
        raise UsageError(
            f"bad field name {name!r}",
            hint=f"1 to 63 letters, digits or '_', no digit first, none of {', '.join(_TAKEN)}",
        )
    return name
