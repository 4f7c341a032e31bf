"""The searches that Kibana sends for a panel, made from the same declarations, so that they can be tried.

What Kibana adds by the width of the screen (how many bars) is fixed here; otherwise the bodies have its form:
no hits, one tree of aggregations, the panel's and the columns' conditions as filters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.kibana.declarations import Bucket, Chart, Dashboard, Declarations, Measure, Search, Span, View
from services.kibana.lens import bucket_id, measure_id, nesting, order
from services.kibana.where import clauses

_AGGREGATIONS = {"unique_count": "cardinality", "sum": "sum", "average": "avg", "max": "max"}
_BARS: dict[str, dict[str, Any]] = {
    "histogram": {"interval": 1},
    "date_histogram": {"fixed_interval": "3h", "min_doc_count": 0},
}


def chart_body(chart: Chart, view: View, span: Span | None = None) -> dict[str, Any]:
    """The body of the search behind a chart; numbers of no group are under `aggs` themselves."""
    aggregations = {
        measure_id(n): made for n, one in enumerate(chart.measures) if (made := _measure(one)) is not None
    }
    for n in reversed(nesting(chart.by)):
        bucket, sorter = _bucket(chart.by[n], chart.measures)
        inner = aggregations | sorter
        aggregations = {bucket_id(n): bucket | ({"aggs": inner} if inner else {})}
    filters = [*_during(view, span), *clauses(chart.where)]
    return {"size": 0, "track_total_hits": True, "query": {"bool": {"filter": filters}}, "aggs": aggregations}


def search_body(search: Search, view: View, span: Span | None = None) -> dict[str, Any]:
    """The body of the search behind a saved search."""
    field, direction = search.sort
    return {
        "size": 50,
        "track_total_hits": True,
        "query": {"bool": {"filter": [*_during(view, span), *clauses(search.where)]}},
        "sort": [{field: {"order": direction, "unmapped_type": "boolean"}}],
        "fields": [{"field": column} for column in search.columns],
        "_source": False,
    }


def board_lines(declared: Declarations, board: Dashboard) -> list[dict[str, Any]]:
    """The lines of the `_msearch` that fills a dashboard: header and body by panel."""
    lines: list[dict[str, Any]] = []
    for panel in board.panels:
        if isinstance(panel, Chart):
            view = declared.views[panel.view]
            body = chart_body(panel, view, board.time)
        else:
            search = declared.searches[panel.search]
            view = declared.views[search.view]
            body = search_body(search, view, board.time)
        lines += [{"index": view.title.split(","), "ignore_unavailable": True}, body]
    return lines


def _during(view: View, span: Span | None) -> list[dict[str, Any]]:
    return [{"range": {view.time: {"gte": span.from_, "lte": span.to}}}] if view.time and span else []


def _bucket(bucket: Bucket, measures: Sequence[Measure]) -> tuple[dict[str, Any], dict[str, Any]]:
    """An aggregation, and the one inside it by which its values are sorted, where that is not their count."""
    if bucket.of != "terms":
        return {bucket.of: {"field": bucket.field} | _BARS[bucket.of]}, {}
    n = order(measures)
    sorter = _measure(measures[n]) if n is not None else None
    by = {"_key": "asc"} if n is None else {"sorter" if sorter else "_count": "desc"}
    made = {"terms": {"field": bucket.field, "size": bucket.size, "order": by}}
    return made, {"sorter": sorter} if sorter else {}


def _measure(measure: Measure) -> dict[str, Any] | None:
    """An aggregation; None for the plain count, which every bucket has anyway."""
    number: dict[str, Any] = {}
    if measure.of in ("median", "percentile"):
        number = {"percentiles": {"field": measure.field, "percents": [measure.percentile or 50]}}
    elif measure.of != "count":
        number = {_AGGREGATIONS[measure.of]: {"field": measure.field}}
    if not measure.where:
        return number or None
    inner = {"aggs": {"number": number}} if number else {}
    return {"filter": {"bool": {"filter": clauses(measure.where)}}} | inner
