"""JSON files of a model folder, which others wrote: each value is checked as it is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from services.errors import InputError

T = TypeVar("T")

_WORDS: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}
_WORDS |= {list: "a list", dict: "an object"}


class ConfigFile:
    """A JSON object whose members are asked for by name and type.

    Args:
        path: The file.
        values: What is in it.
    """

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self.path = path
        self.values = values

    @classmethod
    def read(cls, path: Path, *, required: bool = True) -> ConfigFile:
        """The file's object; an empty one where there is no file and none is required.

        Raises:
            InputError: it is missing, or no JSON object.
        """
        return cls(path, checked(read_json(path, required=required, absent={}), dict, f"{path}"))

    def get(self, key: str, kind: type[T]) -> T | None:
        """A member, None where it is absent or null; InputError where it is of another type."""
        value = self.values.get(key)
        return None if value is None else checked(value, kind, f"{self.path}: '{key}'")

    def refuse(self, key: str, what: str) -> NoReturn:
        """Say what is wrong with a member."""
        refuse(f"{self.path}: '{key}'", what)


def checked(value: Any, kind: type[T], where: str) -> T:
    """The value, when it is of that JSON type; a float may be written as an integer."""
    fits = isinstance(value, int | float if kind is float else kind)
    if not fits or (isinstance(value, bool) and kind is not bool):
        shown = json.dumps(value)
        shown = shown if len(shown) <= 40 else f"{shown[:40]}…"
        refuse(where, f"is {shown} instead of {_WORDS[kind]}")
    return value  # type: ignore[no-any-return]


def refuse(where: str, what: str) -> NoReturn:
    """An InputError about a model's own file."""
    raise InputError(
        f"{where}: {what}", hint="the model folder is damaged or of an unknown kind: fetch the model again"
    )


def read_json(path: Path, *, required: bool = True, absent: Any = None) -> Any:
    """Any JSON value; `absent` where there is no file and none is required."""
    try:
        value = json.loads(path.read_text("utf-8"))
        json.dumps(value, ensure_ascii=False).encode()  # half a character is none
    except FileNotFoundError:
        if not required:
            return absent
        raise InputError(
            f"{path}: missing: not a complete model folder", hint="give the whole folder of the model"
        ) from None
    except (ValueError, RecursionError) as error:
        refuse(f"{path}", f"not valid JSON: {error}")
    except OSError as error:
        refuse(f"{path}", f"cannot be read: {error.strerror}")
    return value
