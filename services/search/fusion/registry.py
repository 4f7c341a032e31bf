"""Fusion methods by name."""

from __future__ import annotations

from collections.abc import Mapping

from services.errors import UsageError
from services.search.fusion.base import Fusion

_METHODS: dict[str, Fusion] = {}


def register(method: Fusion) -> None:
    """Make a method known."""
    _METHODS[method.name] = method


def known() -> list[str]:
    """Names of all methods, sorted."""
    return sorted(_METHODS)


def fusion_named(name: str, params: Mapping[str, float]) -> tuple[Fusion, dict[str, float]]:
    """A method and all its parameters, the given ones and the defaults of the others.

    Raises:
        UsageError: no such method or parameter, or a value out of its range.
    """
    if name not in _METHODS:
        raise UsageError(f"unknown fusion '{name}'", hint=f"known: {', '.join(known())}")
    method = _METHODS[name]
    values = {key: param.default for key, param in method.params.items()}
    for key, value in params.items():
        if key not in values:
            raise UsageError(f"fusion '{name}' has no parameter '{key}'", hint=f"it has: {', '.join(values)}")
        param = method.params[key]
        if not param.low <= value <= param.high:
            raise UsageError(f"fusion '{name}': {key} is {param.low:g} to {param.high:g}, not {value:g}")
        values[key] = value
    return method, values
