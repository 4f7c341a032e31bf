"""The gateway lets everything through as it is: seen from both ends of the wire."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest
from aiohttp import web
from gateway_kit import Answered, before, free_port, gateway, send


def ask(request: bytes, answer: web.Response | None = None) -> tuple[Answered, dict[str, object]]:
    """What the client gets and what the node saw of one request."""
    seen: dict[str, object] = {}

    async def node(request: web.BaseRequest) -> web.StreamResponse:
        seen["line"] = f"{request.method} {request.raw_path}"
        seen["headers"] = [(name.decode().lower(), value) for name, value in request.raw_headers]
        seen["body"] = await request.read()
        return answer or web.json_response({"took": 1})

    async def main() -> Answered:
        async with before(node) as port:
            return await send(port, request)

    return asyncio.run(main()), seen


def names(seen: dict[str, object]) -> set[str]:
    return {name for name, _ in seen["headers"]}  # type: ignore[attr-defined]


def value(seen: dict[str, object], wanted: str) -> list[bytes]:
    return [value for name, value in seen["headers"] if name == wanted]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "target",
    [
        "/%3Clogs-%7Bnow%2Fd%7D%3E/_doc/a%2Fb?q=a+b%20c&pretty",
        "/a//b/../c/_count?filter_path=**.x,-y",
        "/msm-squad/_doc/%C3%A9%25?x=%3D;y",
        "/_cat/indices/*,-.x?v&h=index,docs.count",
    ],
)
def test_path_and_query_stay_byte_for_byte(target: str) -> None:
    _, seen = ask(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert seen["line"] == f"GET {target}"


def test_headers_go_through_but_those_of_the_connection() -> None:
    _, seen = ask(
        b"GET /_cluster/health HTTP/1.1\r\nHost: x\r\nAuthorization: ApiKey abc==\r\n"
        b"Accept: application/vnd.elasticsearch+json; compatible-with=9\r\nX-Opaque-Id: \xc3\xa9\r\n"
        b"es-security-runas-user: ada\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\n\r\n"
    )
    assert value(seen, "authorization") == [b"ApiKey abc=="]
    assert value(seen, "accept") == [b"application/vnd.elasticsearch+json; compatible-with=9"]
    assert value(seen, "x-opaque-id") == [b"\xc3\xa9"]
    assert value(seen, "es-security-runas-user") == [b"ada"]
    assert names(seen) == {"host", "authorization", "accept", "x-opaque-id", "es-security-runas-user"}


def test_a_header_that_is_not_utf8_is_refused_in_the_nodes_form() -> None:
    answer, seen = ask(b"GET / HTTP/1.1\r\nHost: x\r\nX-Opaque-Id: \xe9\r\nConnection: close\r\n\r\n")
    assert answer.status == 400
    assert json.loads(answer.body)["error"]["type"] == "illegal_argument_exception"
    assert not seen


def test_answer_headers_come_back_with_their_repetitions() -> None:
    node = web.Response(status=429, body=b"{}", content_type="application/json")
    for warning in ('299 Elasticsearch-9 "a"', '299 Elasticsearch-9 "b"'):
        node.headers.add("Warning", warning)
    node.headers["X-Elastic-Product"] = "Elasticsearch"
    node.headers["Retry-After"] = "1"
    answer, _ = ask(b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", node)
    assert answer.status == 429
    assert answer.headers("warning") == [b'299 Elasticsearch-9 "a"', b'299 Elasticsearch-9 "b"']
    assert answer.headers("x-elastic-product") == [b"Elasticsearch"]
    assert answer.headers("retry-after") == [b"1"]


def test_ndjson_arrives_as_it_was_sent() -> None:
    body = b'{"index":{}}\n{"text":"\xc3\xa9"}\n'
    head = (
        f"POST /i/_bulk HTTP/1.1\r\nHost: x\r\nContent-Type: application/vnd.elasticsearch+x-ndjson; "
        f"compatible-with=9\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    _, seen = ask(head.encode() + body)
    assert seen["body"] == body
    assert value(seen, "content-type") == [b"application/vnd.elasticsearch+x-ndjson; compatible-with=9"]
    assert value(seen, "content-length") == [str(len(body)).encode()]


def test_a_chunked_body_arrives_whole() -> None:
    _, seen = ask(
        b"POST /i/_doc HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        b'4\r\n{"a"\r\n3\r\n:1}\r\n0\r\n\r\n'
    )
    assert seen["body"] == b'{"a":1}'


def test_packed_bodies_stay_packed_in_both_directions() -> None:
    packed = gzip.compress(b'{"a":1}')
    node = web.Response(body=packed, headers={"Content-Encoding": "gzip"}, content_type="application/json")
    answer, seen = ask(
        b"POST /i/_doc HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nAccept-Encoding: gzip\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(packed), packed),
        node,
    )
    assert value(seen, "content-encoding") == [b"gzip"]
    assert seen["body"] == packed
    assert answer.headers("content-encoding") == [b"gzip"]
    assert answer.body == packed


def test_head_has_the_length_and_no_body() -> None:
    node = web.Response(body=b"x" * 359, content_type="application/json")
    answer, seen = ask(b"HEAD /i HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", node)
    assert seen["line"] == "HEAD /i"
    assert answer.headers("content-length") == [b"359"]
    assert answer.body == b""


def test_redirects_and_cookies_are_the_clients_affair() -> None:
    node = web.Response(status=307, headers={"Location": "/elsewhere", "Set-Cookie": "a=b"})
    answer, _ = ask(b"GET /i HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", node)
    assert answer.status == 307
    assert answer.headers("set-cookie") == [b"a=b"]


def test_an_answer_is_passed_on_while_it_is_being_made() -> None:
    passed = asyncio.Event()

    async def node(request: web.BaseRequest) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"first")
        await asyncio.wait_for(passed.wait(), 10)  # set when the client has the first half
        await answer.write(b"second")
        return answer

    async def main() -> bytes:
        async with before(node) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            await reader.readuntil(b"first")
            passed.set()
            rest = await reader.read()
            writer.close()
            return rest

    assert b"second" in asyncio.run(main())


def test_a_large_body_is_passed_on_while_it_comes() -> None:
    piece, pieces = b"x" * 65_536, 32
    arrived = asyncio.Event()
    total = 0

    async def node(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal total
        async for chunk in request.content.iter_any():
            total += len(chunk)
            arrived.set()
        return web.json_response({})

    async def main() -> Answered:
        async with before(node) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            length = f"Content-Length: {len(piece) * pieces}"
            writer.write(f"POST /_bulk HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{length}\r\n\r\n".encode())
            writer.write(piece)
            await asyncio.wait_for(
                arrived.wait(), 10
            )  # the node has some of it, the client has not sent the rest
            for _ in range(pieces - 1):
                writer.write(piece)
                await writer.drain()
            answer = await reader.read()
            writer.close()
            return Answered(answer.partition(b"\r\n\r\n")[0], b"")

    assert asyncio.run(main()).status == 200
    assert total == len(piece) * pieces


def test_a_client_that_goes_away_ends_the_nodes_work() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def node(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        begun.set()
        transport = request.transport
        while transport and not transport.is_closing():
            await asyncio.sleep(0.01)
        cancelled.set()
        return web.Response()

    async def main() -> None:
        async with before(node) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST /i/_search HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
            await asyncio.wait_for(begun.wait(), 10)
            writer.close()
            await asyncio.wait_for(cancelled.wait(), 10)

    asyncio.run(main())


def test_an_answer_that_breaks_off_is_seen_to_break_off() -> None:
    async def node(request: web.BaseRequest) -> web.StreamResponse:
        answer = web.StreamResponse()
        answer.content_length = 100
        await answer.prepare(request)
        await answer.write(b"half")
        assert request.transport
        request.transport.close()
        return answer

    async def main() -> Answered:
        async with before(node) as port:
            return await send(port, b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")  # the gateway closes

    answer = asyncio.run(main())
    assert answer.headers("content-length") == [b"100"]
    assert answer.body == b"half"


def test_a_node_that_is_not_there_is_a_503_in_its_own_form() -> None:
    async def main() -> Answered:
        async with gateway(f"http://127.0.0.1:{free_port()}") as port:
            return await send(port, b"GET /_search HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    answer = asyncio.run(main())
    assert answer.status == 503
    assert answer.headers("x-elastic-product") == [b"Elasticsearch"]
    error = json.loads(answer.body)
    assert error["status"] == 503
    assert error["error"]["type"] == error["error"]["root_cause"][0]["type"] == "node_not_connected_exception"


def test_the_gateway_has_paths_of_its_own_that_no_index_can_have() -> None:
    answer, seen = ask(b"GET /_msmctl/livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (answer.status, json.loads(answer.body)) == (200, {"status": "alive"})
    answer, seen = ask(b"GET /_msmctl/other HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.status == 404
    assert not seen
