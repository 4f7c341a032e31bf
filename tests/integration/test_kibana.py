"""What Kibana asks for every data view, saved search and panel, on the real node, as the user reader."""

from __future__ import annotations

import json
import re
import uuid
from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from services.elastic import versions
from services.elastic.client import connect
from services.kibana.declarations import Chart, Declarations, load
from services.kibana.fields import field_types
from services.kibana.requests import board_lines, chart_body, search_body
from tests.conftest import ROOT, Stack
from tests.docs_kit import validate
from tests.integration.conftest import Sample, Shell
from tests.integration.kibana_kit import BOARDS, Installation
from tests.unit.kibana_server import Kibana

PAGE = (ROOT / "docs" / "kibana.md").read_text("utf-8")


@pytest.fixture(scope="module")
def installed(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    settings = stack.settings.model_copy(update={"prefix": f"msm-k{uuid.uuid4().hex[:8]}"})
    made = Installation(settings, tmp_path_factory.mktemp("kibana"))
    yield made
    made.clean()


@pytest.fixture(scope="module")
def declared(installed: Installation) -> Declarations:
    return load(installed.settings.prefix)


def answer(installed: Installation, declared: Declarations, board: str, title: str) -> dict[str, Any]:
    """What the node answers to a panel."""
    dashboard = declared.dashboards[board]
    chart = next(one for one in dashboard.panels if isinstance(one, Chart) and one.title == title)
    view = declared.views[chart.view]
    body = chart_body(chart, view, dashboard.time)
    found: dict[str, Any] = installed.reader.search(index=view.title.split(","), **body).body
    return found


def counts(found: dict[str, Any]) -> dict[Any, int]:
    return {one["key"]: one["doc_count"] for one in found["aggregations"]["by0"]["buckets"]}


class TestViews:
    @pytest.mark.parametrize("view", load("msm").views)
    def test_every_field_is_found_with_the_type_that_the_panels_need(
        self, installed: Installation, declared: Declarations, view: str
    ) -> None:
        pattern = declared.views[view].title.split(",")
        there = installed.reader.field_caps(index=pattern, fields="*", ignore_unavailable=True)["fields"]
        types = field_types(declared.views[view].mapping)
        for field in declared.fields_of(view):
            assert list(there[field]) == [types[field]], field
        grouped = [
            one for chart in declared.charts() if chart.view == view for one in (*chart.by, *chart.measures)
        ]
        for one in grouped:
            if one.field:
                assert all(how["aggregatable"] for how in there[one.field].values())

    def test_the_view_of_passages_sees_those_that_are_served_and_nothing_else(
        self, installed: Installation, declared: Declarations
    ) -> None:
        pattern = declared.views["passages"].title.split(",")
        hits = installed.reader.search(index=pattern, size=100)["hits"]["hits"]
        assert [hit["_source"]["pid"] for hit in hits] == ["v2"]


class TestDashboards:
    @pytest.mark.parametrize("board", BOARDS)
    def test_every_panel_has_data(self, installed: Installation, declared: Declarations, board: str) -> None:
        panels = declared.dashboards[board].panels
        lines = board_lines(declared, declared.dashboards[board])
        answers = installed.reader.msearch(searches=lines)["responses"]
        for panel, found in zip(panels, answers, strict=True):
            assert found["status"] == 200, (panel.title, found)
            assert found["hits"]["total"]["value"] > 0, panel.title
            if isinstance(panel, Chart):
                expected = {
                    f"of{n}" for n, one in enumerate(panel.measures) if one.of != "count" or one.where
                }
                assert filled(found.get("aggregations", {})) == expected, panel.title

    def test_survivors_are_counted_for_the_systems_of_which_they_are_negatives(
        self, installed: Installation, declared: Declarations
    ) -> None:
        survivors = Counter(
            bool(one["systems"]["bm25"]["negative"])
            for one in installed.documents()
            if "bm25" in one["systems"]
        )
        found = counts(answer(installed, declared, "negatives", "Survivors by system"))
        assert found["bm25"] == survivors[True] > 0

    def test_the_overlap_of_two_systems_is_what_both_returned(
        self, installed: Installation, declared: Declarations
    ) -> None:
        pairs = Counter(
            pair for one in installed.documents() for pair in product(one["system"], one["system"])
        )
        found = answer(installed, declared, "negatives", "Overlap of systems")
        cells = {
            (row["key"], cell["key"]): cell["doc_count"]
            for row in found["aggregations"]["by0"]["buckets"]
            for cell in row["by1"]["buckets"]
        }
        assert cells == pairs

    def test_margins_are_split_by_verdict(self, installed: Installation, declared: Declarations) -> None:
        expected = Counter(
            (one["verdict"], float(one["margin"] // 1)) for one in installed.documents() if "margin" in one
        )
        found = answer(installed, declared, "negatives", "Margins by verdict")
        bars = {
            (split["key"], bar["key"]): bar["doc_count"]
            for split in found["aggregations"]["by1"]["buckets"]
            for bar in split["by0"]["buckets"]
            if bar["doc_count"]
        }
        assert bars == expected

    def test_throughput_is_rows_by_kind_over_time(
        self, installed: Installation, declared: Declarations
    ) -> None:
        found = answer(installed, declared, "jobs", "Throughput")
        (kind,) = found["aggregations"]["by1"]["buckets"]
        assert kind["key"] == "probe"
        assert sum(bar["of0"]["value"] for bar in kind["by0"]["buckets"]) == 100 + 200 + 300 + 400

    def test_a_lease_is_a_chunk_that_a_worker_holds(
        self, installed: Installation, declared: Declarations
    ) -> None:
        assert counts(answer(installed, declared, "jobs", "Leases")) == {"w2": 1}

    def test_latency_is_that_of_answers(self, installed: Installation, declared: Declarations) -> None:
        found = answer(installed, declared, "traffic", "95 % answered within")
        assert found["hits"]["total"]["value"] == 22  # without the one that failed
        (value,) = found["aggregations"]["of0"]["values"].values()
        assert 180 <= value <= 400

    def test_what_found_nothing_is_counted_by_query(
        self, installed: Installation, declared: Declarations
    ) -> None:
        assert list(counts(answer(installed, declared, "traffic", "Queries that find nothing")).values()) == [
            1
        ]


@pytest.mark.parametrize("name", load("msm").searches)
def test_every_saved_search_finds_its_columns(
    installed: Installation, declared: Declarations, name: str
) -> None:
    search = declared.searches[name]
    view = declared.views[search.view]
    found = installed.reader.search(index=view.title.split(","), **search_body(search, view))["hits"]["hits"]
    assert found
    assert set(found[0]["fields"]) <= set(search.columns)


class TestReader:
    def test_it_may_do_what_discover_and_dashboards_need_and_no_more(self, stack: Stack) -> None:
        reader = connect(stack.settings, "reader").security
        reads, writes = ["read", "view_index_metadata"], ["write", "delete_index", "manage", "create_index"]
        found = reader.has_privileges(
            index=[{"names": ["msm-squad", "msm-jobs", "msm-keys", "other"], "privileges": reads + writes}],
            cluster=["monitor", "manage"],
        )
        allowed = {
            name: {what for what, may in given.items() if may} for name, given in found["index"].items()
        }
        assert allowed == {"msm-squad": set(reads), "msm-jobs": set(reads), "msm-keys": set(), "other": set()}
        assert not any(found["cluster"].values())

    def test_of_kibana_it_has_discover_dashboards_and_dev_tools(self, stack: Stack) -> None:
        # A node knows what these names allow once a Kibana has told it; the names are what is ours.
        (application,) = connect(stack.settings, "reader").security.get_user_privileges()["applications"]
        assert application == {
            "application": "kibana-.kibana",
            "privileges": ["feature_dashboard_v2.read", "feature_dev_tools.read", "feature_discover_v2.read"],
            "resources": ["*"],
        }


def test_what_an_import_prints_has_the_documented_shape(shell: Shell) -> None:
    kibana = Kibana()
    validate("kibana-import", json.loads(shell.msmctl("kibana", "import", "--url", kibana.url, "--json")))
    kibana.close()


def filled(aggregations: dict[str, Any]) -> set[str]:
    """The measures that have a number somewhere in a tree of buckets."""
    found: set[str] = set()
    for name, made in aggregations.items():
        if name.startswith("by"):
            for bucket in made["buckets"]:
                found |= filled({key: value for key, value in bucket.items() if key[:2] in ("by", "of")})
        elif name.startswith("of"):
            values = made.get("values", {"": made.get("value", made.get("doc_count"))})
            if any(value is not None for value in values.values()):
                found.add(name)
    return found


# -- the page --------------------------------------------------------------------------------------


SNIPPETS = re.findall(r"^```devtools\n(\w+) (\S+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def published(sample: Sample) -> Sample:
    sample.msmctl("mine", "--collection", sample.name, "--system", "bm25", "--depth", "5")
    sample.msmctl("publish", "negatives", "--collection", sample.name)
    return sample


@pytest.mark.parametrize(("method", "path", "body"), SNIPPETS, ids=[f"{m} {p}" for m, p, _ in SNIPPETS])
def test_what_the_page_tells_to_type_into_dev_tools_finds_something(
    published: Sample, stack: Stack, method: str, path: str, body: str
) -> None:
    with_names = json.loads(body.replace("msm-squad", f"msm-{published.name}").replace("qid-of-yours", "t3"))
    reader = connect(stack.settings, "reader")
    found = reader.perform_request(
        method, "/" + path.replace("msm-squad", f"msm-{published.name}"),
        headers={"content-type": "application/json", "accept": "application/json"}, body=with_names,
    )  # fmt: skip
    assert found["hits"]["total"]["value"] > 0


def test_the_page_s_names_of_systems_are_served(sample: Sample, stack: Stack) -> None:
    served = versions.version(connect(stack.settings), stack.settings, sample.name)
    named = set(re.findall(r"vectors\.(\w+)", PAGE))
    assert named
    assert named <= set(served.meta.systems)  # other tests may have promoted more
