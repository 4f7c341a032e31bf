"""Walk the standard library: one JSON line per documented module, class, function and method.

A program of its own, run by `demo.corpus` in a child process, as importing a module may print, hang
or end the process. It imports nothing but the standard library.

    python -S -s -P walk.py RESULT PROGRESS [MODULE-TO-SKIP ...]

RESULT gets `{"kind", "name", "signature", "doc"}` lines, in an order that only depends on the Python.
PROGRESS gets the name of each module before it is imported: its last line names a culprit.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import IO, Any

# Two jokes that act when imported, two trees that document no library; `__main__` modules run programs.
# posix and nt are the private half of `os`, which offers all that they have.
EXCLUDED = {"antigravity", "this", "idlelib", "test", "tests", "__main__", "posix", "nt"}
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def is_public(name: str) -> bool:
    """Whether every part of a dotted name is public and none is excluded."""
    return not any(part.startswith("_") or part in EXCLUDED for part in name.split("."))


def find_modules(name: str, skip: set[str], progress: IO[str]) -> Iterator[ModuleType]:
    """A module and those inside it, sorted by name; what cannot be imported here is left out."""
    if not is_public(name) or name in skip:
        return
    print(name, file=progress, flush=True)
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:  # another platform's module, or one that needs a missing library
        print(f"{name}: not importable here: {error!r}", file=sys.stderr)
        return
    yield module
    for info in sorted(pkgutil.iter_modules(getattr(module, "__path__", [])), key=lambda info: info.name):
        yield from find_modules(f"{name}.{info.name}", skip, progress)


class _Elided:
    """Stands for a default that says nothing to a reader or differs between machines (`os.environ`)."""

    def __repr__(self) -> str:
        return "..."


def signature_of(name: str, value: Any) -> str:
    """`name(parameters)`, or "" where Python does not know them."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError, AttributeError):  # no text, or one that names what this build lacks
        return ""
    plain = (bool, int, float, str, bytes, type(None))
    short = [
        p if p.default is p.empty or type(p.default) in plain else p.replace(default=_Elided())
        for p in signature.parameters.values()
    ]
    return _ADDRESS.sub("", f"{name.rpartition('.')[2]}{signature.replace(parameters=short)}")


class Walker:
    """Writes each documented object once, under the module that defines it where that is public."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._seen: set[int] = set()  # ids stay valid: modules keep their members alive
        self._names: set[str] = set()

    def module(self, module: ModuleType) -> None:
        """A module, with the classes and functions that it defines or offers by `__all__`."""
        self._write("module", module.__name__, module, "")
        self._members(module.__name__, module.__name__, module, "function")

    def helpers(self, module: ModuleType) -> None:
        """What no module defines or offers (it comes from a private one), under the first that has it."""
        self._members(module.__name__, module.__name__, module, "function", offered=False)

    def _members(self, module: str, owner: str, value: Any, kind: str, *, offered: bool = True) -> None:
        """The public members of a module or class, without what is inherited (`vars`)."""
        chosen = getattr(value, "__all__", ()) if offered and inspect.ismodule(value) else vars(value)
        for key, raw in _by_own_name(vars(value)):
            member = getattr(raw, "__func__", raw)  # of classmethods, bound methods …
            if not is_public(key) or id(member) in self._seen or _belongs_elsewhere(member, module):
                continue
            if key not in chosen and getattr(member, "__module__", None) != module:
                continue
            name = f"{owner}.{key}"
            if inspect.isclass(member):
                self._seen.add(id(member))
                self._write("class", name, member, signature_of(name, member))
                self._members(module, name, member, "method")
            elif inspect.isroutine(member):
                self._seen.add(id(member))
                self._write(kind, name, member, signature_of(name, member))

    def _write(self, kind: str, name: str, value: Any, signature: str) -> None:
        doc = value.__doc__
        if isinstance(doc, str) and doc.strip() and name not in self._names:
            self._names.add(name)
            line = {
                "kind": kind,
                "name": name,
                "signature": signature,
                "doc": _ADDRESS.sub("", inspect.cleandoc(doc)),
            }
            print(json.dumps(line, ensure_ascii=False), file=self._out)


def _belongs_elsewhere(value: Any, module: str) -> bool:
    """Whether another public module defines the object and offers it under its own name."""
    home = getattr(value, "__module__", None)
    if not isinstance(home, str) or home == module or not is_public(home) or home not in sys.modules:
        return False
    return str(getattr(value, "__qualname__", "")).partition(".")[0] in vars(sys.modules[home])


def _by_own_name(members: Any) -> list[tuple[str, Any]]:
    """Members by name; one under its own name before its aliases."""
    return sorted(members.items(), key=lambda item: (item[0] != getattr(item[1], "__name__", ""), item[0]))


def main(result: str, progress: str, *skip: str) -> None:
    """Import all, then walk all: what belongs elsewhere is known only then."""
    with Path(progress).open("w", encoding="utf-8") as log:
        tops = sorted(sys.stdlib_module_names)
        modules = [module for top in tops for module in find_modules(top, set(skip), log)]
    with Path(result).open("w", encoding="utf-8") as out:
        walker = Walker(out)
        for module in modules:
            walker.module(module)
        for module in modules:
            walker.helpers(module)


if __name__ == "__main__":
    main(*sys.argv[1:])
