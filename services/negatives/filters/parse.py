"""`--filter NAME=VALUE[,key=value…]` and `--relabel ce>=X`, as they are written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from services.errors import UsageError
from services.negatives.filters.filter import REQUIRED, Arguments, Filter, Parameter, Sources
from services.negatives.filters.registry import ALIASES, FILTERS, help_of
from services.negatives.filters.values import number, written


@dataclass(frozen=True)
class Applied:
    """A filter with its arguments."""

    filter: Filter
    arguments: Arguments

    @property
    def described(self) -> str:
        """As it may be written, with every argument that is not left open."""
        first, *rest = self.filter.parameters
        said = [f"{self.filter.name}={written(self.arguments[first.name])}"]
        values = {parameter.name: self.arguments[parameter.name] for parameter in rest}
        return ",".join(
            said + [f"{name}={written(value)}" for name, value in values.items() if value is not None]
        )

    def prepared(self, sources: Sources) -> Applied:
        """With arguments that were checked against what is read, and completed.

        Raises:
            UsageError: they do not fit. NotFound: a system that there is not.
        """
        try:
            return Applied(self.filter, self.filter.prepare(self.arguments, sources))
        except ValueError as error:
            raise _wrong(self.filter, str(error)) from error


def parse_filter(text: str) -> Applied:
    """A filter as `--filter` takes it.

    Raises:
        UsageError: no such filter, or arguments that it does not take; shows the filter's own help.
    """
    name = re.split("[=,]", text, maxsplit=1)[0].strip()
    rest = text.lstrip()[len(name) :].lstrip()
    if name not in FILTERS and name not in ALIASES:
        near = get_close_matches(name, [*FILTERS, *ALIASES], n=2)
        raise UsageError(
            f"no such filter '{name}'" + (f"; did you mean {' or '.join(near)}?" if near else ""),
            hint=f"filters: {', '.join(FILTERS)}; `msmctl negatives filters` explains them",
        )
    declared = FILTERS.get(name) or ALIASES[name]
    texts = _texts(declared, name, rest)
    return Applied(declared, {one.name: _value(declared, one, texts) for one in declared.parameters})


def _texts(declared: Filter, name: str, rest: str) -> dict[str, str]:
    """What was written of each parameter. A word without '=' goes on with the value before it."""
    alias = declared.aliases.get(name)
    known = [parameter.name for parameter in declared.parameters]
    unnamed = alias.parameter if alias else known[0]
    words = f"{unnamed}{rest}" if rest.startswith("=") else rest.removeprefix(",")
    found: dict[str, str] = {}
    place = None
    for word in words.split(",") if rest else []:
        key, equals, value = (part.strip() for part in word.partition("="))
        if place is not None and key and not equals:
            found[place] += f",{key}"
            continue
        if key not in known or not equals:
            raise _wrong(declared, f"'{word.strip()}' is no parameter with a value")
        if key in found:
            raise _wrong(declared, f"'{key}' is there twice")
        place, found[key] = key, value
    if alias and alias.parameter in found:
        try:
            found[alias.parameter] = alias.translate(found[alias.parameter])
        except ValueError as error:
            raise _wrong(declared, f"{name}: {error}") from error
    return found


def _value(declared: Filter, parameter: Parameter, texts: dict[str, str]) -> Any:
    if not texts.get(parameter.name):
        if parameter.default is REQUIRED:
            raise _wrong(declared, f"'{parameter.name}' is missing")
        return parameter.default
    try:
        return parameter.parse(texts[parameter.name])
    except ValueError as error:
        raise _wrong(declared, f"{parameter.name}: {error}") from error


def _wrong(declared: Filter, why: str) -> UsageError:
    return UsageError(f"filter {declared.name}: {why}", hint=help_of(declared))


def parse_relabel(text: str) -> float:
    """The bar of `ce>=X`.

    Raises:
        UsageError: it is written otherwise.
    """
    found = re.fullmatch(r"\s*ce\s*>=\s*(\S+)\s*", text)
    hint = "--relabel 'ce>=8', in quotes: what scores 8 logits or more becomes a positive"
    if not found:
        raise UsageError(f"--relabel '{text}': it is written ce>=X", hint=hint)
    try:
        return number(found[1])
    except ValueError as error:
        raise UsageError(f"--relabel '{text}': {error}", hint=hint) from error
