"""Import into Kibana: whoever plays it over HTTP is understood, and what goes wrong is told."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.errors import AuthError, CheckFailed, InputError, MsmError, NotFound, Unavailable, UsageError
from services.kibana.client import import_objects
from tests.conftest import Cli
from tests.integration.conftest import Shell
from tests.unit.kibana_server import CONTENT, Kibana

OBJECTS = [json.loads(line) for line in CONTENT.splitlines()]
KEYS = [(one["type"], one["id"]) for one in OBJECTS]


@pytest.fixture
def kibana() -> Iterator[Kibana]:
    made = Kibana()
    yield made
    made.close()


class TestImport:
    def test_the_file_is_sent_as_kibana_wants_it(self, kibana: Kibana) -> None:
        done = kibana.put()
        assert [(one["type"], one["id"]) for one in done.objects] == [
            (one["type"], one["id"]) for one in OBJECTS
        ]
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
