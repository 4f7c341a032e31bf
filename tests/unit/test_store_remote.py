"""A store on S3: what S3 or the way to it refuses is an error with its exit code and a hint, no defect."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import Answer, Cli

KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
Ls = Callable[..., Answer]


@pytest.fixture
def ls(cli: Cli, tmp_path: Path) -> Ls:
    """`msmctl collection ls` on a store of S3, nothing but `variables` known of it."""

    def call(**variables: str) -> Answer:
        environment = {
            "MSM_STORE": "s3://bucket/folder",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
        }
        return cli("collection", "ls", home=tmp_path, environment=environment | variables)

    return call


@contextmanager
def s3_that_answers(status: int, code: str) -> Iterator[str]:
    """The address of a server that answers every request with one of S3's errors, as S3 writes them."""
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>so it is</Message></Error>'
    )

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "exit_code", "hint"),
    [
        (403, "AccessDenied", 4, "AWS_ACCESS_KEY_ID"),
        (403, "InvalidAccessKeyId", 4, "AWS_ACCESS_KEY_ID"),
        (404, "NoSuchBucket", 7, "MSM_STORE"),
        (503, "ServiceUnavailable", 5, "AWS_ENDPOINT_URL"),
        (400, "InvalidBucketName", 1, "MSM_STORE"),
    ],
)
def test_what_s3_answers_is_told_with_a_remedy(
    ls: Ls, status: int, code: str, exit_code: int, hint: str
) -> None:
    with s3_that_answers(status, code) as address:
        answer = ls(AWS_ENDPOINT_URL=address, **KEYS)
    assert (answer.code, answer.stdout) == (exit_code, "")
    assert "error: store 's3://bucket/folder': " in answer.stderr
    assert hint in answer.stderr.partition("hint: ")[2]


def test_where_nobody_listens_the_store_is_unavailable(ls: Ls) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        answer = ls(AWS_ENDPOINT_URL=f"http://127.0.0.1:{free.getsockname()[1]}", **KEYS)
    assert answer.code == 5
    assert "Could not connect" in answer.stderr


@pytest.mark.parametrize("variables", [{}, {"AWS_PROFILE": "nobody"}])
def test_without_credentials_it_says_which_are_taken(ls: Ls, variables: dict[str, str]) -> None:
    answer = ls(**variables)
    assert answer.code == 4
    assert "AWS_ACCESS_KEY_ID" in answer.stderr
