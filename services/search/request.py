"""What is asked: one typed request, whoever asks (command line, API, gateway)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.bounded import holds_more
from services.errors import UsageError
from services.search.filters import Filter

Mode = Literal["hybrid", "bm25", "dense", "sparse"]
MAX_SIZE = 1_000
MAX_END = 10_000
"""Hits that may be paged through: `from` and `size` together."""
MAX_WINDOW = 1_000
MAX_QUERY = 100_000
"""Characters of a query. A long text is asked by its distinct terms."""
MAX_VALUES = 4_096
"""Values that a request is made of, all its objects and lists together."""

_FIELD = re.compile(r"(?P<name>title|text)(?:\^(?P<boost>\d+(?:\.\d+)?))?")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Bm25Spec(_Part):
    """A leg by BM25.

    Attributes:
        fields: Where terms are looked for, with boosts: `title^2`, `text`. The best field counts.
    """

    type: Literal["bm25"] = "bm25"
    fields: tuple[Annotated[str, Field(pattern=rf"^{_FIELD.pattern}$")], ...] = Field(
        default=("text",), min_length=1
    )


class DenseSpec(_Part):
    """A leg by kNN.

    Attributes:
        system: Which of the served systems.
        lookup: Qid of a stored query, whose vector is taken instead of encoding the text.
    """

    type: Literal["dense"]
    system: str
    lookup: str | None = None


class SparseSpec(_Part):
    """A leg by the dot product of term weights.

    Attributes:
        system: Which of the served systems.
        weights: Those of the query, by token id, in place of what the system makes of the text.
    """

    type: Literal["sparse"]
    system: str
    weights: dict[str, Annotated[float, Field(ge=1e-6, le=1e6)]] | None = Field(default=None, min_length=1)


LegSpec = Annotated[Bm25Spec | DenseSpec | SparseSpec, Field(discriminator="type")]


class RerankSpec(_Part):
    """Reranking of the head.

    Attributes:
        model: Cross-encoder; None: the only one whose model is installed.
        window: How many of the best are scored, in fused order, until the deadline.
    """

    model: str | None = None
    window: int = Field(default=50, ge=1, le=MAX_WINDOW)


class SearchRequest(_Part):
    """A question to a collection.

    Attributes:
        query: The text; may be empty with `lookup`, whose stored text then counts.
        mode: Shorthand for legs: `bm25`, `dense` or `sparse` (all that are served), or all of these as
            `hybrid`, the default.
        systems: Served systems that `mode` means; none: all.
        legs: The legs themselves, in place of `mode` and `systems`.
        lookup: Qid of a stored query: dense legs take its vectors instead of encoding the text; sparse ones
            encode its text.
        fusion: Method that makes one ranking of several; None: what was saved for the collection, else the
            default (see `services.search.fusion`).
        params: Its parameters, by name; what is left out has its default.
        filters: Conditions that every hit of every leg fulfils, as objects or as text (`year>=1990`).
        rerank: Let a cross-encoder order the head.
        budget_ms: For the whole request, from its receipt; None: as long as it takes.
        size: Hits wanted.
        start: Hits passed over; `from` in JSON.
        explain: Tell of every hit how it came about.
    """

    query: str = Field(default="", max_length=MAX_QUERY)
    mode: Mode | None = None
    systems: tuple[str, ...] = ()
    legs: tuple[LegSpec, ...] = Field(default=(), max_length=16)
    lookup: str | None = None
    fusion: str | None = None
    params: dict[str, float] = {}
    filters: tuple[Filter, ...] = Field(default=(), max_length=100)
    rerank: RerankSpec | None = None
    budget_ms: float | None = Field(default=None, gt=0, le=600_000)
    size: int = Field(default=10, ge=1, le=MAX_SIZE)
    start: int = Field(default=0, ge=0, alias="from")
    explain: bool = False

    @model_validator(mode="before")
    @classmethod
    def _bounded(cls, given: Any) -> Any:
        if holds_more(given, MAX_VALUES):
            raise ValueError(f"a request is made of {MAX_VALUES:,} values at most")
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.legs and (self.mode or self.systems):
            raise ValueError("legs stand in place of mode and systems: give one or the other")
        if self.start + self.size > MAX_END:
            raise ValueError(f"from and size go beyond the {MAX_END:,}th hit")
        return self

    @property
    def lookups(self) -> frozenset[str]:
        """Ids of the stored queries that are named."""
        named = [leg.lookup for leg in self.legs if isinstance(leg, DenseSpec)]
        return frozenset(qid for qid in (self.lookup, *named) if qid)

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Self:
        """A request from JSON or from options.

        Raises:
            UsageError: it is none; the first problem, and where it is.
        """
        try:
            return cls.model_validate(dict(given))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            raise UsageError(f"{where}: {message}" if where else message) from None


def fields_of(spec: Bm25Spec) -> dict[str, float]:
    """Boosts by field: `title^2`, `text` -> 2 and 1."""
    found = [_FIELD.fullmatch(text) for text in spec.fields]
    return {match["name"]: float(match["boost"] or 1) for match in found if match}
