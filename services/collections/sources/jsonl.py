"""JSON lines: one object per row."""

from __future__ import annotations

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
        return value
