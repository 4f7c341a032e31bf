"""What goes wrong with Elasticsearch comes out as an error with a remedy."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from services.elastic.client import connect
from services.elastic.errors import of_status, reason, translated
from services.errors import AuthError, Conflict, InputError, MsmError, NotFound, Unavailable
from services.settings import Settings


def settings_for(home: Path, url: str) -> Settings:
    (home / "secrets").mkdir(exist_ok=True)
    (home / "secrets" / "admin").write_text("secret\n")
    return Settings(home=home, es_url=url)


@pytest.fixture
def stranger() -> Iterator[str]:
    """The address of a web server that is not Elasticsearch."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<h1>welcome</h1>")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, InputError),
        (401, AuthError),
        (403, AuthError),
        (404, NotFound),
        (409, Conflict),
        (413, InputError),
        (429, Unavailable),
        (500, MsmError),
        (502, Unavailable),
        (503, Unavailable),
    ],
)
def test_a_status_is_an_error_of_ours(status: int, error: type[MsmError]) -> None:
    assert type(of_status(status, "x")) is error


def test_a_reason_is_short_and_names_the_root_cause() -> None:
    body = {
        "error": {
            "type": "document_parsing_exception",
            "reason": f"cannot parse [k]. Preview of field's value: '{'a' * 9000}'",
            "caused_by": {"type": "illegal_argument_exception", "reason": "immense term"},
        }
    }
    assert reason(body) == (
        "document_parsing_exception: cannot parse [k].; illegal_argument_exception: immense term"
    )


def test_nobody_at_the_address_is_unavailable_and_says_what_to_start(tmp_path: Path) -> None:
    client = connect(settings_for(tmp_path, "http://127.0.0.1:9"))
    with pytest.raises(Unavailable, match="counting: cannot be reached") as caught, translated("counting"):
        client.options(max_retries=0).count(index="msm-x")
    assert "msmctl up" in str(caught.value.hint)


def test_something_else_at_the_address_is_not_taken_for_elasticsearch(tmp_path: Path, stranger: str) -> None:
    client = connect(settings_for(tmp_path, stranger))
    with pytest.raises(MsmError, match="not Elasticsearch"), translated("counting"):
        client.indices.get(index="msm-x")


def test_a_user_without_a_password_file_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(AuthError, match="no password for 'worker'"):
        connect(settings_for(tmp_path, "http://127.0.0.1:9"), user="worker")
