"""Ids and names of files that others made, as messages show them: they reach terminals and logs."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

_LONGEST = 60
_NAMES = 200


def shown(value: object) -> str:
    """The value between quotes: at most 60 characters of it, none of which moves a cursor or ends a line."""
    text = str(value)
    cut = plain(text[:_LONGEST])
    return f"'{cut}'" if len(text) <= _LONGEST else f"'{cut}…' ({len(text):,} characters)"


def plain(text: str) -> str:
    """The text with escapes for all that is no printable character."""
    return "".join(one if one.isprintable() else _escaped(one) for one in text)


def listed(names: Iterable[str]) -> str:
    """Names joined by commas, at most 200 characters of them, as `shown` has them but without quotes."""
    text = ", ".join(plain(name) for name in islice(names, _NAMES))
    return text[:_NAMES]


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
