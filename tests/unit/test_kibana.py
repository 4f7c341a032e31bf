"""Kibana's objects: what they refer to is there, and panels have their places."""

from __future__ import annotations

import itertools
import json
from fnmatch import fnmatch
from typing import Any

import pytest

from services.collections.names import _RESERVED
from services.kibana.declarations import Chart, Measure, load
from services.kibana.fields import field_types
from services.kibana.objects import ndjson
from services.kibana.where import clauses, kql

DECLARED = load("shop")
CONTENT = ndjson(DECLARED)
OBJECTS = [json.loads(line) for line in CONTENT.splitlines()]
BY_KEY = {(one["type"], one["id"]): one for one in OBJECTS}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(board["attributes"]["panelsJSON"])
    return found


BOARDS = [one for one in OBJECTS if one["type"] == "dashboard"]


class TestObjects:
    def test_all_that_was_asked_for_is_there(self) -> None:
        views = {one["id"] for one in OBJECTS if one["type"] == "index-pattern"}
        assert views == {
            f"shop-{name}"
            for name in ("passages", "queries", "negatives", "marks", "jobs", "chunks", "dead", "searches")
        }
        assert [board["attributes"]["title"] for board in BOARDS] == [
            "[shop] Negatives", "[shop] Jobs", "[shop] Searches",
        ]  # fmt: skip
        assert len(BY_KEY) == len(OBJECTS)

    def test_every_reference_is_to_an_object_that_comes_before(self) -> None:
        seen: set[tuple[str, str]] = set()
        for one in OBJECTS:
            assert {(to["type"], to["id"]) for to in one["references"]} <= seen
            seen.add((one["type"], one["id"]))

    def test_every_name_of_a_reference_that_is_used_is_declared_and_no_other(self) -> None:
        for one in OBJECTS:
            declared = {to["name"] for to in one["references"]}
            source = json.loads(
                one["attributes"].get("kibanaSavedObjectMeta", {}).get("searchSourceJSON", "{}")
            )
            used = {source["indexRefName"]} if "indexRefName" in source else set()
            for panel in panels(one) if one["type"] == "dashboard" else []:
                inner = panel["embeddableConfig"].get("attributes", {}).get("references", [])
                used |= {f"{panel['panelIndex']}:{to['name']}" for to in inner}
                if "panelRefName" in panel:
                    used.add(f"{panel['panelIndex']}:{panel['panelRefName']}")
            assert used == declared, one["id"]

    def test_the_versions_are_those_of_kibana_8_8_which_every_later_one_takes(self) -> None:
        assert {one["coreMigrationVersion"] for one in OBJECTS} == {"8.8.0"}
        assert {(one["type"], one["typeMigrationVersion"]) for one in OBJECTS} == {
            ("index-pattern", "8.0.0"), ("search", "7.9.3"), ("dashboard", "8.7.0"),
        }  # fmt: skip

    def test_the_bytes_are_always_the_same(self) -> None:
        assert ndjson(load("shop")) == CONTENT
        assert ndjson(load("shop", ["b", "a", "b"])) == ndjson(load("shop", ["a", "b"])) != CONTENT

    def test_views_of_some_collections_look_at_these_alone(self) -> None:
        views = load("shop", ["tea", "cake"]).views
        assert views["passages"].title == "shop-cake,shop-tea"
        assert views["negatives"].title == "shop-cake-negatives,shop-tea-negatives"
        assert views["jobs"].title == "shop-jobs"

    def test_the_view_of_passages_leaves_out_every_other_index_of_ours(self) -> None:
        wanted, *others = DECLARED.views["passages"].title.split(",")

        def seen(name: str) -> bool:
            return fnmatch(name, wanted) and not any(fnmatch(name, other[1:]) for other in others)

        ours = [f"shop-{name}" for name in _RESERVED if name != "searches"]
        ours += ["shop-searches-2026.11.21", "shop-tea-queries", "shop-tea-negatives", "shop-tea-adhoc"]
        ours += [f"shop-tea-{content}-v1" for content in ("passages", "queries", "negatives")]
        assert [name for name in ours if seen(name)] == []
        assert seen("shop-tea")
        assert seen("shop-tea-cakes")

    def test_only_what_goes_on_in_time_has_a_time_field(self) -> None:
        times = {name: view.time for name, view in DECLARED.views.items()}
        assert {name: time for name, time in times.items() if time} == {
            "jobs": "created", "chunks": "started", "dead": "created", "searches": "@timestamp",
        }  # fmt: skip
        types = {name: field_types(view.mapping) for name, view in DECLARED.views.items()}
        assert all(types[name][time] == "date" for name, time in times.items() if time)

    def test_nothing_needs_es_ql_a_script_or_a_licence(self) -> None:
        lens = [
            panel["embeddableConfig"]["attributes"]
            for board in BOARDS
            for panel in panels(board)
            if panel["type"] == "lens"
        ]
        assert {one["visualizationType"] for one in lens} == {
            "lnsMetric", "lnsXY", "lnsHeatmap", "lnsDatatable",
        }  # fmt: skip
        assert all(list(one["state"]["datasourceStates"]) == ["formBased"] for one in lens)
        operations = {
            column["operationType"]
            for one in lens
            for column in one["state"]["datasourceStates"]["formBased"]["layers"]["layer"]["columns"].values()
        }
        assert operations == {
            "terms", "range", "date_histogram",
            "count", "unique_count", "sum", "average", "max", "median", "percentile",
        }  # fmt: skip
        assert all(one["attributes"].get("runtimeFieldMap", "{}") == "{}" for one in OBJECTS)


class TestFields:
    @pytest.mark.parametrize("view", DECLARED.views)
    def test_every_field_that_is_asked_for_is_in_the_mapping(self, view: str) -> None:
        assert DECLARED.fields_of(view) <= set(field_types(DECLARED.views[view].mapping))

    def test_columns_of_charts_are_those_of_the_declarations(self) -> None:
        drawn = [panel for board in BOARDS for panel in panels(board) if panel["type"] == "lens"]
        for chart, panel in zip(DECLARED.charts(), drawn, strict=True):
            attributes = panel["embeddableConfig"]["attributes"]
            (layer,) = attributes["state"]["datasourceStates"]["formBased"]["layers"].values()
            assert set(layer["columnOrder"]) == set(layer["columns"])
            fields = [column["sourceField"] for column in layer["columns"].values()]
            asked = [one.field or "___records___" for one in (*chart.by, *chart.measures)]
            assert sorted(fields) == sorted(asked)
            assert attributes["state"]["query"] == {"query": kql(chart.where), "language": "kuery"}

    def test_what_is_drawn_is_a_column(self) -> None:
        for panel in (panel for board in BOARDS for panel in panels(board) if panel["type"] == "lens"):
            state = panel["embeddableConfig"]["attributes"]["state"]
            (layer,) = state["datasourceStates"]["formBased"]["layers"].values()
            drawn = json.dumps(state["visualization"])
            assert all(f'"{column}"' in drawn for column in layer["columns"])

    def test_a_numeric_measure_is_of_a_number(self) -> None:
        for chart in DECLARED.charts():
            types = field_types(DECLARED.views[chart.view].mapping)
            for one in chart.measures:
                if one.of not in ("count", "unique_count"):
                    assert types[str(one.field)] in ("float", "integer", "long", "short", "double")


class TestPlaces:
    @pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["id"])
    def test_panels_are_on_the_grid_and_do_not_overlap(self, board: dict[str, Any]) -> None:
        places = [panel["gridData"] for panel in panels(board)]
        assert all(place["x"] + place["w"] <= 48 for place in places)
        for one, other in itertools.combinations(places, 2):
            apart = (
                one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
                or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
            )  # fmt: skip
            assert apart, (one, other)


class TestWhere:
    def test_both_languages_say_the_same(self) -> None:
        where: dict[str, Any] = {
            "state": ["a", "b"], "margin": {"gte": 1, "lt": 2.5},
            "degraded": "*", "negative": True, "by": 'x "y"',
        }  # fmt: skip
        assert kql(where) == (
            'state: ("a" or "b") and margin >= 1 and margin < 2.5'
            ' and degraded: * and negative: true and by: "x \\"y\\""'
        )
        assert clauses(where) == [
            {"terms": {"state": ["a", "b"]}}, {"range": {"margin": {"gte": 1, "lt": 2.5}}},
            {"exists": {"field": "degraded"}}, {"term": {"negative": True}}, {"term": {"by": 'x "y"'}},
        ]  # fmt: skip

    @pytest.mark.parametrize(
        "given", [{"of": "count", "field": "x"}, {"of": "sum"}, {"of": "percentile", "field": "x"}]
    )
    def test_a_declaration_that_makes_no_sense_is_refused(self, given: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"field|percentile"):
            Measure(label="x", **given)
        with pytest.raises(ValueError, match="extra"):
            Chart(
                kind="metric",
                title="x",
                view="v",
                measures=[{"of": "count", "label": "n"}],
                at=(0, 0, 1, 1),
                colour="red",
            )  # type: ignore[call-arg, list-item]
