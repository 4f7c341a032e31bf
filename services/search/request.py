"""What is asked: one typed request, whoever asks (command line, API)."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.collections.state import FieldType
from services.errors import UsageError

Mode = Literal["hybrid", "bm25", "dense"]
MAX_SIZE = 1_000
DEPTH = 100
"""Candidates that every leg brings, at least."""

_FILTER = re.compile(r"(?:meta\.)?(?P<field>[^<>=!]+?)\s*(?P<op>>=|<=|=)\s*(?P<value>.*)", re.DOTALL)
_RANGE = {">=": "gte", "<=": "lte"}


class Filter(BaseModel):
    """A condition on a metadata field; all conditions of a request must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    field: str
    op: Literal["=", ">=", "<="]
    value: str

    @classmethod
    def parse(cls, text: str) -> Filter:
        """A filter from `meta.year=1999`, `year>=1990` or `year<=2000`.

        Raises:
            UsageError: the text is none of these.
        """
        found = _FILTER.fullmatch(text.strip())
        if not found:
            raise UsageError(f"filter '{text}': not FIELD=VALUE", hint="such as --filter 'meta.year>=1990'")
        return cls.model_validate(found.groupdict())

    def clause(self, fields: dict[str, FieldType]) -> dict[str, Any]:
        """The filter as Elasticsearch reads it.

        Raises:
            UsageError: the collection has no such field, or the value is not of its type.
        """
        if self.field not in fields:
            raise UsageError(
                f"filter on '{self.field}': no such metadata field",
                hint=f"there are: {', '.join(sorted(fields)) or 'none'}",
            )
        name, value = f"meta.{self.field}", _typed(self, fields[self.field])
        if self.op == "=":
            return {"term": {name: value}}
        return {"range": {name: {_RANGE[self.op]: value}}}


class SearchRequest(BaseModel):
    """A question to a collection.

    Attributes:
        query: The text.
        collection: Whose served index answers.
        mode: `bm25`, `dense`, or both as `hybrid`.
        systems: Dense systems to ask; none: all that are served.
        size: Hits wanted.
        fusion: Method that makes one ranking of several (see `services.search.fusion`).
        params: Its parameters, by name; what is left out has its default.
        filters: Conditions that every hit fulfils.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: str
    collection: str
    mode: Mode = "hybrid"
    systems: tuple[str, ...] = ()
    size: int = Field(10, ge=1, le=MAX_SIZE)
    fusion: str = "convex"
    params: dict[str, float] = {}
    filters: tuple[Filter, ...] = ()


def _typed(condition: Filter, kind: FieldType) -> Any:
    try:
        if kind == "integer":
            return int(condition.value)
        if kind == "float":
            return float(condition.value)
    except ValueError:
        raise UsageError(f"filter on '{condition.field}': '{condition.value}' is no {kind}") from None
    if kind == "boolean" and condition.value not in ("true", "false"):
        raise UsageError(f"filter on '{condition.field}': '{condition.value}' is neither true nor false")
    return condition.value
