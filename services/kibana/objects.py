"""Kibana's saved objects, and the ndjson that it imports.

The versions say in what form an object is; a Kibana that is newer migrates it when it is imported, an older
one refuses it. They are those of the sample data that Kibana 8.8 to 9.5 itself ships.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from services.kibana.declarations import Chart, Dashboard, Declarations, Listing, Search, View
from services.kibana.lens import REFERENCE, attributes
from services.kibana.where import kql

CORE_VERSION = "8.8.0"
TYPE_VERSIONS = {"index-pattern": "8.0.0", "search": "7.9.3", "dashboard": "8.7.0"}
PANEL_VERSION = "8.8.0"
_OPTIONS = {
    "useMargins": True,
    "syncColors": False,
    "syncCursor": True,
    "syncTooltips": False,
    "hidePanelTitles": False,
}
_SOURCE = "kibanaSavedObjectMeta.searchSourceJSON.index"
Object = dict[str, Any]
Reference = dict[str, str]


def objects(declared: Declarations) -> list[Object]:
    """All objects: data views, saved searches, dashboards. What refers comes after what is referred to."""
    return [
        *(_view(declared, name, view) for name, view in declared.views.items()),
        *(_search(declared, name, search) for name, search in declared.searches.items()),
        *(_dashboard(declared, name, board) for name, board in declared.dashboards.items()),
    ]


def ndjson(declared: Declarations) -> bytes:
    """One object per line, in ASCII; the same bytes for the same declarations."""
    return b"".join(_line(one) for one in objects(declared))


def view_id(declared: Declarations, name: str) -> str:
    """Of a data view: people see it in addresses, and may rely on it."""
    return f"{declared.prefix}-{name}"


def _view(declared: Declarations, name: str, view: View) -> Object:
    given: dict[str, Any] = {
        "title": view.title,
        "name": f"{declared.prefix} {name}",
        "fields": "[]",
        "fieldAttrs": "{}",
        "fieldFormatMap": "{}",
        "runtimeFieldMap": "{}",
        "sourceFilters": _text([{"value": "vectors.*"}]),  # thousands of numbers that nobody reads
        **({"timeFieldName": view.time} if view.time else {}),
    }
    return _object("index-pattern", view_id(declared, name), given, [])


def _search(declared: Declarations, name: str, search: Search) -> Object:
    source = {
        "query": {"query": kql(search.where), "language": "kuery"},
        "filter": [],
        "indexRefName": _SOURCE,
    }
    given = {
        "title": _title(declared, search.title),
        "description": "",
        "columns": search.columns,
        "sort": [list(search.sort)],
        "kibanaSavedObjectMeta": {"searchSourceJSON": _text(source)},
        "version": 1,
    }
    reference = {"type": "index-pattern", "id": view_id(declared, search.view), "name": _SOURCE}
    return _object("search", f"{declared.prefix}-{name}", given, [reference])


def _dashboard(declared: Declarations, name: str, board: Dashboard) -> Object:
    panels, references = [], []
    for n, panel in enumerate(board.panels):
        made, reference = _panel(declared, f"p{n}", panel)
        panels.append(made)
        references.append(reference)
    time = {"timeFrom": board.time.from_, "timeTo": board.time.to} if board.time else {}
    given = {
        "title": _title(declared, board.title),
        "description": board.description,
        "panelsJSON": _text(panels),
        "optionsJSON": _text(_OPTIONS),
        "kibanaSavedObjectMeta": {
            "searchSourceJSON": _text({"query": {"query": "", "language": "kuery"}, "filter": []})
        },
        "timeRestore": board.time is not None,
        "version": 1,
        **time,
    }
    return _object("dashboard", f"{declared.prefix}-dashboard-{name}", given, references)


def _panel(declared: Declarations, index: str, panel: Chart | Listing) -> tuple[Object, Reference]:
    x, y, w, h = panel.at
    common = {
        "version": PANEL_VERSION,
        "panelIndex": index,
        "gridData": {"x": x, "y": y, "w": w, "h": h, "i": index},
        "title": panel.title,
    }
    if isinstance(panel, Listing):
        made = common | {"type": "search", "embeddableConfig": {"enhancements": {}}}
        name = f"panel_{index}"
        reference = {"type": "search", "id": f"{declared.prefix}-{panel.search}", "name": f"{index}:{name}"}
        return made | {"panelRefName": name}, reference
    target = view_id(declared, panel.view)
    config = {
        "attributes": attributes(panel, declared.views[panel.view], target),
        "enhancements": {},
        "hidePanelTitles": panel.kind == "metric",  # its number bears the label
    }
    reference = {"type": "index-pattern", "id": target, "name": f"{index}:{REFERENCE}"}
    return common | {"type": "lens", "embeddableConfig": config}, reference


def _title(declared: Declarations, title: str) -> str:
    return f"[{declared.prefix}] {title}"


def _object(kind: str, key: str, given: Mapping[str, Any], references: list[Reference]) -> Object:
    return {
        "type": kind,
        "id": key,
        "attributes": dict(given),
        "references": references,
        "coreMigrationVersion": CORE_VERSION,
        "typeMigrationVersion": TYPE_VERSIONS[kind],
    }


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _line(value: Object) -> bytes:
    return _text(value).encode() + b"\n"
