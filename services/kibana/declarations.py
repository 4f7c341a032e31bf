"""What es_mappings/kibana declares: data views, saved searches, dashboards and their panels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template
from typing import Annotated, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from services.kibana.where import Where

DASHBOARDS = ("negatives", "jobs", "traffic")


class Declared(BaseModel):
    """A part of the declarations; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class View(Declared):
    """A data view.

    Attributes:
        title: Index pattern for all collections.
        each: For one collection; None: the view has nothing to do with collections.
        time: The field that Kibana's time filter is about; None: no time filter.
        mapping: Stem of the file in es_mappings that declares the fields.
    """

    title: str
    each: str | None = None
    time: str | None = None
    mapping: str


class Search(Declared):
    """A saved search. `sort` is a field and `asc` or `desc`."""

    title: str
    view: str
    where: Where = {}
    columns: list[str]
    sort: tuple[str, Literal["asc", "desc"]]


class Bucket(Declared):
    """What documents are grouped by.

    Attributes:
        of: Kind of aggregation.
        size: Most frequent values, of `terms`. How wide a bucket of a histogram is, Kibana decides.
    """

    of: Literal["terms", "histogram", "date_histogram"]
    field: str
    label: str
    size: int = 10


class Measure(Declared):
    """A number of a group of documents, or of those of them that meet a condition."""

    of: Literal["count", "unique_count", "sum", "average", "max", "median", "percentile"]
    label: str
    field: str | None = None
    percentile: int | None = None
    where: Where = {}

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if (self.of == "count") != (self.field is None):
            raise ValueError("every measure but count needs a field")
        if (self.of == "percentile") != (self.percentile is not None):
            raise ValueError("percentile: 1 to 99 belongs to a percentile, and only there")
        return self


Place = tuple[int, int, int, int]


class Chart(Declared):
    """A panel that shows numbers of groups of documents. `by` is empty for a metric."""

    kind: Literal["metric", "bar", "line", "heatmap", "table"]
    title: str
    view: str
    where: Where = {}
    by: list[Bucket] = []
    measures: list[Measure] = Field(min_length=1)
    at: Place


class Listing(Declared):
    """A panel that shows a saved search."""

    kind: Literal["search"]
    title: str
    search: str
    at: Place


Panel = Annotated[Chart | Listing, Field(discriminator="kind")]


class Span(Declared):
    """The time that a dashboard begins with, in Kibana's date arithmetic."""

    from_: str = Field(alias="from")
    to: str


class Dashboard(Declared):
    """A dashboard. `time` is None where no panel has a time filter."""

    title: str
    description: str
    time: Span | None = None
    panels: list[Panel]


@dataclass(frozen=True)
class Declarations:
    """All of them, by name, with index patterns for one installation."""

    prefix: str
    views: dict[str, View]
    searches: dict[str, Search]
    dashboards: dict[str, Dashboard]

    def fields_of(self, view: str) -> set[str]:
        """Every field that a saved search or a panel asks a view for."""
        found = {time for time in [self.views[view].time] if time}
        for search in self.searches.values():
            if search.view == view:
                found |= {*search.columns, search.sort[0], *search.where}
        for chart in self.charts():
            if chart.view == view:
                found |= {*chart.where, *(bucket.field for bucket in chart.by)}
                found |= {name for one in chart.measures for name in (one.field, *one.where) if name}
        return found

    def charts(self) -> list[Chart]:
        """Of all dashboards."""
        return [
            panel for board in self.dashboards.values() for panel in board.panels if isinstance(panel, Chart)
        ]


def load(prefix: str, collections: Sequence[str] = ()) -> Declarations:
    """The declarations for one installation.

    Args:
        prefix: Of its indices.
        collections: Those that data views look at; none: all that there are and will be.
    """
    views = {
        name: view.model_copy(update={"title": _pattern(view, prefix, sorted(set(collections)))})
        for name, view in _read("views", View).items()
    }
    dashboards = {name: _parsed(name, Dashboard) for name in DASHBOARDS}
    return Declarations(prefix, views, _read("searches", Search), dashboards)


def _pattern(view: View, prefix: str, collections: Sequence[str]) -> str:
    if view.each is None or not collections:
        return Template(view.title.replace(" ", "")).substitute(prefix=prefix)
    return ",".join(Template(view.each).substitute(prefix=prefix, collection=name) for name in collections)


T = TypeVar("T", bound=Declared)


def _read(name: str, form: type[T]) -> dict[str, T]:
    return TypeAdapter(dict[str, form]).validate_python(yaml.safe_load(_text(name)))  # type: ignore[valid-type]


def _parsed(name: str, form: type[T]) -> T:
    return form.model_validate(yaml.safe_load(_text(name)))


@cache
def _text(name: str) -> str:
    return (files("es_mappings") / "kibana" / f"{name}.yml").read_text("utf-8")
