"""JSON lines: one object per row."""

from __future__ import annotations

import json

import orjson

from services.collections.bad_row import BadRow
from services.collections.rows import Record
from services.collections.sources.lines import LineSource


class JsonlSource(LineSource):
    """Passages (`pid`, `title`, `text`, fields), queries (`qid`, `text`) or judgements as JSON objects."""

    def parse(self, line: str, number: int) -> Record:
        """The object."""
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise BadRow(f"no valid JSON: {error}", "write one JSON object per line") from None
        if not isinstance(value, dict):
            raise BadRow(
                f"no JSON object but {type(value).__name__}",
                'write one object per line: {"pid": …, "text": …}',
            )
        if line.count(":") > len(value):  # nested objects, colons in a text, or a key twice
            _require_keys_once(line)
        return value


def _require_keys_once(line: str) -> None:
    try:
        json.loads(line, object_pairs_hook=_once, parse_int=float)
    except RecursionError:
        raise BadRow("nested too deeply", "write metadata as a flat object") from None


def _once(pairs: list[tuple[str, object]]) -> None:
    keys = set()
    for key, _ in pairs:
        if key in keys:
            raise BadRow(f"the key '{key[:80]}' is there twice", "write each key once")
        keys.add(key)
