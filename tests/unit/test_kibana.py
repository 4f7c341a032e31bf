"""Kibana's objects: what they refer to is there, and whoever plays Kibana over HTTP is understood."""

from __future__ import annotations

import base64
import itertools
import json
import threading
from collections.abc import Iterator
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from services.collections.names import _RESERVED
from services.errors import AuthError, CheckFailed, InputError, MsmError, NotFound, Unavailable, UsageError
from services.kibana.client import import_objects
from services.kibana.declarations import Chart, Measure, load
from services.kibana.fields import field_types
from services.kibana.objects import ndjson
from services.kibana.where import clauses, kql
from tests.conftest import Cli
from tests.integration.conftest import Shell

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


# -- import ----------------------------------------------------------------------------------------


class Kibana:
    """Answers `_import` as Kibana documents it, over real HTTP."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, b"", {"Content-Type": "application/json"}
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers["Content-Length"]))
                outer.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}, sent))
                body = outer.body or outer.took(sent)
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    @staticmethod
    def took(sent: bytes) -> bytes:
        objects = [json.loads(line) for line in sent.splitlines() if line.startswith(b"{")]
        results = [
            {"type": one["type"], "id": one["id"], "managed": False, "overwrite": True,
             "meta": {"title": one["attributes"]["title"]}}
            for one in objects
        ]  # fmt: skip
        answer = {"success": True, "successCount": len(results), "warnings": [], "successResults": results}
        return json.dumps(answer).encode()

    def answers(self, status: int, body: Any, **headers: str) -> None:
        self.status, self.headers = status, self.headers | headers
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()

    def put(self, **more: Any) -> Any:
        return import_objects(self.url, CONTENT, "admin", "sesame", **more)


@pytest.fixture
def kibana() -> Iterator[Kibana]:
    made = Kibana()
    yield made
    made.close()


class TestImport:
    def test_the_file_is_sent_as_kibana_wants_it(self, kibana: Kibana) -> None:
        done = kibana.put()
        assert [(one["type"], one["id"]) for one in done.objects] == list(BY_KEY)
        ((path, headers, sent),) = kibana.asked
        assert path == "/api/saved_objects/_import?overwrite=true"
        assert headers["kbn-xsrf"]
        assert headers["authorization"] == f"Basic {base64.b64encode(b'admin:sesame').decode()}"
        boundary = headers["content-type"].removeprefix("multipart/form-data; boundary=")
        head, _, rest = sent.partition(b"\r\n\r\n")
        assert head.startswith(f"--{boundary}\r\n".encode())
        assert b'name="file"; filename="kibana.ndjson"' in head
        assert rest == CONTENT + f"\r\n--{boundary}--\r\n".encode()

    def test_a_space_and_a_base_path_are_in_the_path(self, kibana: Kibana) -> None:
        import_objects(f"{kibana.url}/kib/", CONTENT, "admin", "sesame", space="search")
        assert kibana.asked[0][0] == "/kib/s/search/api/saved_objects/_import?overwrite=true"

    def test_objects_that_are_refused_are_named(self, kibana: Kibana) -> None:
        missing = {"type": "missing_references", "references": [{"type": "index-pattern", "id": "shop-jobs"}]}
        newer = {
            "type": "unknown",
            "message": "belongs to a more recent version of Kibana",
            "statusCode": 400,
        }
        kibana.answers(200, {"success": False, "successCount": 20, "errors": [
            {"type": "dashboard", "id": "shop-dashboard-jobs", "error": missing},
            {"type": "search", "id": "shop-jobs", "error": newer},
        ]})  # fmt: skip
        with pytest.raises(CheckFailed) as refused:
            kibana.put()
        assert "took 20 objects and refused 2" in refused.value.message
        assert (
            "dashboard shop-dashboard-jobs: missing_references (index-pattern shop-jobs)"
            in refused.value.message
        )
        assert (
            "search shop-jobs: unknown (belongs to a more recent version of Kibana)" in refused.value.message
        )

    @pytest.mark.parametrize(
        ("status", "error", "told"),
        [
            (400, InputError, "kbn-xsrf"),
            (401, AuthError, "--password-file"),
            (403, AuthError, "saved objects"),
            (404, NotFound, "space 'nowhere'"),
            (413, InputError, "413"),
            (500, MsmError, "log"),
            (503, Unavailable, "try again"),
        ],
    )
    def test_what_kibana_answers_comes_with_a_remedy(
        self, kibana: Kibana, status: int, error: type[MsmError], told: str
    ) -> None:
        kibana.answers(
            status, {"statusCode": status, "error": "x", "message": "Request must contain a kbn-xsrf header."}
        )
        with pytest.raises(error) as raised:
            kibana.put(space="nowhere")
        assert told in f"{raised.value.message} {raised.value.hint}"
        assert "sesame" not in f"{raised.value.message} {raised.value.hint}"

    def test_a_kibana_that_is_still_starting_is_waited_for_by_the_caller(self, kibana: Kibana) -> None:
        kibana.answers(503, b"Kibana server is not ready yet")
        with pytest.raises(Unavailable, match="not ready yet"):
            kibana.put()

    def test_a_password_does_not_follow_a_redirect(self, kibana: Kibana) -> None:
        kibana.answers(302, b"", Location="http://elsewhere.example/login")
        kibana.body = b"moved"
        with pytest.raises(UsageError, match="elsewhere"):
            kibana.put()
        assert len(kibana.asked) == 1

    @pytest.mark.parametrize("body", [b"<html>welcome</html>", b"[1]", b"{}", b"3"])
    def test_another_server_is_told_from_kibana(self, kibana: Kibana, body: bytes) -> None:
        kibana.answers(200, body)
        with pytest.raises(MsmError, match="not Kibana"):
            kibana.put()

    def test_nobody_there_is_said_with_what_to_do(self) -> None:
        with pytest.raises(Unavailable, match="cannot be reached") as raised:
            import_objects("http://127.0.0.1:9", CONTENT, "admin", "sesame")
        assert "--url" in str(raised.value.hint)

    @pytest.mark.parametrize(
        ("url", "space"),
        [("localhost:5601", None), ("ftp://x", None), ("http://", None), ("http://a:b@c", None),
         ("http://x?y=1", None), ("http://x", "My Space"), ("http://x", "../s")],
    )  # fmt: skip
    def test_an_address_that_is_none_is_refused_before_anything_is_sent(
        self, url: str, space: str | None
    ) -> None:
        with pytest.raises(UsageError):
            import_objects(url, CONTENT, "admin", "sesame", space=space)


class TestCommand:
    @pytest.fixture
    def shell(self, tmp_path: Path) -> Shell:
        return Shell(tmp_path)

    @staticmethod
    def words(shell: Shell, *words: str | Path) -> tuple[str | Path, ...]:
        return ("--home", shell.folder, "kibana", *words)

    def test_export_writes_a_file(self, shell: Shell) -> None:
        given = self.words(shell, "export", "--prefix", "shop", "-o", "k.ndjson", "--json")
        assert json.loads(shell.msmctl(*given))["objects"] == len(OBJECTS)
        assert (shell.folder / "k.ndjson").read_bytes() == CONTENT

    def test_export_writes_to_stdout(self, cli: Cli, tmp_path: Path) -> None:
        done = cli("kibana", "export", "--prefix", "shop", "-o", "-", home=tmp_path)
        assert done.stdout.encode() == CONTENT

    def test_a_collection_that_is_not_there_is_refused(self, shell: Shell) -> None:
        shell.msmctl(*self.words(shell, "export", "-c", "nope", "-o", "k.ndjson"), code=7)
        assert not (shell.folder / "k.ndjson").exists()

    def test_import_takes_the_password_from_a_file(self, shell: Shell, kibana: Kibana) -> None:
        (shell.folder / "secret").write_text("sesame\n")
        given = self.words(
            shell, "import", "--url", kibana.url, "--user", "me", "--password-file", "secret",
            "--space", "search", "--prefix", "shop", "--json",
        )  # fmt: skip
        answer = json.loads(shell.msmctl(*given))
        assert (answer["imported"], answer["space"]) == (len(OBJECTS), "search")
        assert kibana.asked[0][1]["authorization"] == f"Basic {base64.b64encode(b'me:sesame').decode()}"

    def test_import_without_a_password_says_where_it_should_be(self, shell: Shell) -> None:
        done = shell.run(*self.words(shell, "import", "--url", "http://127.0.0.1:9"))
        assert done.code == 4
        assert "secrets" in done.stderr
