"""JSON of the node's, read and written without loss: documents hold whatever somebody indexed.

orjson does nearly all of it. It refuses lone surrogates and makes floats of integers beyond 64 bits; what
holds such is left to the standard library.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_LONG = re.compile(rb"[0-9]{19}")


def read(raw: bytes) -> Any:
    """The value.

    Raises:
        ValueError: it is no JSON, or nested too deep.
    """
    if not _LONG.search(raw):
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError:
            pass
    try:
        return json.loads(raw)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def write(value: Any, *, pretty: bool = False) -> bytes:
    """The value as JSON."""
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2 if pretty else 0)
    except orjson.JSONEncodeError:
        form: dict[str, Any] = {"indent": 2} if pretty else {"separators": (",", ":")}
        return json.dumps(value, **form).encode()
