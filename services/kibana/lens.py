"""A chart as Kibana's Lens keeps it: columns of one `formBased` layer, and how they are drawn.

The shapes are those of the sample data that Kibana ships and of what Lens itself exports (8.8 to 9.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.kibana.declarations import Bucket, Chart, Measure, View
from services.kibana.fields import field_types
from services.kibana.where import kql

LAYER = "layer"
REFERENCE = f"indexpattern-datasource-layer-{LAYER}"
_TYPES = {
    "metric": "lnsMetric",
    "bar": "lnsXY",
    "line": "lnsXY",
    "heatmap": "lnsHeatmap",
    "table": "lnsDatatable",
}
_DATA = {"keyword": "string", "text": "string", "boolean": "boolean", "date": "date"}
_SORTABLE = ("count", "unique_count", "sum", "average", "max")
_EVERYWHERE = {"x": True, "yLeft": True, "yRight": True}


def attributes(chart: Chart, view: View, view_id: str) -> dict[str, Any]:
    """A Lens object by value, to be put into a panel.

    Args:
        chart: What it shows.
        view: Of which documents.
        view_id: The view's saved object.
    """
    return {
        "title": chart.title,
        "type": "lens",
        "visualizationType": _TYPES[chart.kind],
        "references": [{"type": "index-pattern", "id": view_id, "name": REFERENCE}],
        "state": {
            "visualization": _visualization(chart),
            "query": {"query": kql(chart.where), "language": "kuery"},
            "filters": [],
            "datasourceStates": {"formBased": {"layers": {LAYER: _layer(chart, view)}}},
            "internalReferences": [],
            "adHocDataViews": {},
        },
    }


def bucket_id(n: int) -> str:
    """Column of the n-th bucket."""
    return f"by{n}"


def measure_id(n: int) -> str:
    """Column of the n-th measure."""
    return f"of{n}"


def nesting(by: Sequence[Bucket]) -> list[int]:
    """The buckets from the outermost in.

    What splits a histogram is outside of it, so that the most frequent values are those of all its bars.
    """
    inverted = len(by) > 1 and by[0].of != "terms"
    return list(reversed(range(len(by)))) if inverted else list(range(len(by)))


def order(measures: Sequence[Measure]) -> int | None:
    """The measure that decides which values are the most frequent; None: none can, they go by name."""
    return next((n for n, one in enumerate(measures) if one.of in _SORTABLE and not one.where), None)


# -- columns ---------------------------------------------------------------------------------------


def _layer(chart: Chart, view: View) -> dict[str, Any]:
    types = field_types(view.mapping)
    buckets = {
        bucket_id(n): _bucket(chart.by[n], types[chart.by[n].field], order(chart.measures))
        for n in nesting(chart.by)
    }
    measures = {measure_id(n): _measure(one) for n, one in enumerate(chart.measures)}
    return {
        "columns": buckets | measures,
        "columnOrder": [*buckets, *measures],
        "sampling": 1,
        "ignoreGlobalFilters": False,
        "incompleteColumns": {},
    }


def _bucket(bucket: Bucket, kind: str, sorted_by: int | None) -> dict[str, Any]:
    column: dict[str, Any] = {
        "label": bucket.label,
        "customLabel": True,
        "dataType": _DATA.get(kind, "number"),
        "operationType": "range" if bucket.of == "histogram" else bucket.of,
        "sourceField": bucket.field,
        "isBucketed": True,
        "scale": "ordinal" if bucket.of == "terms" else "interval",
    }
    if bucket.of == "date_histogram":
        return column | {"params": {"interval": "auto", "includeEmptyRows": True, "dropPartials": False}}
    if bucket.of == "histogram":
        ranges = [
            {"from": 0, "to": 1000, "label": ""}
        ]  # of the other kind of range; Lens wants it all the same
        params = {"type": "histogram", "maxBars": "auto", "includeEmptyRows": True, "ranges": ranges}
        return column | {"params": params}
    by_column = {"type": "column", "columnId": measure_id(sorted_by)} if sorted_by is not None else None
    params = {
        "size": bucket.size,
        "orderBy": by_column or {"type": "alphabetical", "fallback": False},
        "orderDirection": "desc" if by_column else "asc",
        "otherBucket": False,
        "missingBucket": False,
        "parentFormat": {"id": "terms"},
        "include": [],
        "exclude": [],
        "includeIsRegex": False,
        "excludeIsRegex": False,
    }
    return column | {"params": params}


def _measure(measure: Measure) -> dict[str, Any]:
    filtered = {"filter": {"query": kql(measure.where), "language": "kuery"}} if measure.where else {}
    percentile = {"percentile": measure.percentile} if measure.percentile is not None else {}
    return {
        "label": measure.label,
        "customLabel": True,
        "dataType": "number",
        "operationType": measure.of,
        "sourceField": measure.field or "___records___",
        "isBucketed": False,
        "scale": "ratio",
        "params": {"emptyAsNull": measure.of in ("sum", "unique_count")} | percentile,
        **filtered,
    }


# -- how they are drawn ----------------------------------------------------------------------------


def _visualization(chart: Chart) -> dict[str, Any]:
    buckets = [bucket_id(n) for n in range(len(chart.by))]
    measures = [measure_id(n) for n in range(len(chart.measures))]
    placed = {"layerId": LAYER, "layerType": "data"}
    if chart.kind == "metric":
        return placed | {"metricAccessor": measures[0]}
    if chart.kind == "table":
        return placed | {"columns": [{"columnId": name} for name in buckets + measures]}
    if chart.kind == "heatmap":
        return placed | _heatmap(buckets, measures[0])
    series = "line" if chart.kind == "line" else "bar_stacked"
    split = {"splitAccessor": buckets[1]} if len(buckets) > 1 else {}
    layer = placed | {"seriesType": series, "xAccessor": buckets[0], "accessors": measures} | split
    return {
        "preferredSeriesType": series,
        "layers": [layer],
        "legend": {"isVisible": True, "position": "right"},
        "valueLabels": "hide",
        "fittingFunction": "None",
        "axisTitlesVisibilitySettings": _EVERYWHERE,
        "tickLabelsVisibilitySettings": _EVERYWHERE,
        "gridlinesVisibilitySettings": _EVERYWHERE,
        "labelsOrientation": {"x": 0, "yLeft": 0, "yRight": 0},
        "yLeftExtent": {"mode": "full"},
        "yRightExtent": {"mode": "full"},
    }


def _heatmap(buckets: Sequence[str], measure: str) -> dict[str, Any]:
    return {
        "shape": "heatmap",
        "xAccessor": buckets[0],
        "yAccessor": buckets[1],
        "valueAccessor": measure,
        "legend": {"type": "heatmap_legend", "isVisible": True, "position": "right"},
        "gridConfig": {
            "type": "heatmap_grid",
            "isCellLabelVisible": True,
            "isXAxisLabelVisible": True,
            "isYAxisLabelVisible": True,
            "isXAxisTitleVisible": True,
            "isYAxisTitleVisible": True,
        },
    }
