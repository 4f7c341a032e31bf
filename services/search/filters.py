"""A condition on a metadata field: as text, as an object in JSON, as Elasticsearch reads it."""

from __future__ import annotations

import math
import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from services.collections.state import FieldType
from services.errors import UsageError

Clause = dict[str, Any]
Value = str | bool | int | float

_TEXT = re.compile(r"(?:meta\.)?(?P<field>[^<>=!]+?)\s*(?P<op>>=|<=|=)\s*(?P<value>.*)", re.DOTALL)
_RANGE = {">=": "gte", "<=": "lte"}


class Filter(BaseModel):
    """A condition on a metadata field; all conditions of a request must hold."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"examples": ["year>=1990", "topic=history"]}
    )

    field: str
    op: Literal["=", ">=", "<="]
    value: Value

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: Any) -> Any:
        """A filter may be given as text wherever it may be given as an object."""
        return _parsed(given) if isinstance(given, str) else given

    @classmethod
    def parse(cls, text: str) -> Filter:
        """A filter from `meta.year=1999`, `year>=1990` or `year<=2000`.

        Raises:
            UsageError: the text is none of these.
        """
        try:
            return cls.model_validate(_parsed(text))
        except ValueError as error:
            raise UsageError(str(error), hint="such as --filter 'meta.year>=1990'") from None

    def clause(self, fields: dict[str, FieldType]) -> Clause:
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


def _parsed(text: str) -> dict[str, str]:
    found = _TEXT.fullmatch(text.strip())
    if not found:
        raise ValueError(f"filter '{text}': not FIELD=VALUE")
    return found.groupdict()


def _typed(condition: Filter, kind: FieldType) -> Value:
    value = str(condition.value).lower() if isinstance(condition.value, bool) else condition.value
    try:
        if kind == "integer":
            return int(value)
        if kind == "float":
            number = float(value)
            if not math.isfinite(number):  # no JSON: a bound that the node would not see
                raise ValueError
            return number
    except (ValueError, OverflowError):
        raise UsageError(f"filter on '{condition.field}': '{value}' is no {kind}") from None
    if kind == "boolean" and value not in ("true", "false"):
        raise UsageError(f"filter on '{condition.field}': '{value}' is neither true nor false")
    return value
