"""What is not ours goes through: the client gets what the node says."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tests.integration.gateway.ends import Ends


def without_took(body: bytes) -> Any:
    try:
        parsed = json.loads(body)
    except ValueError:
        return body

    def dropped(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: dropped(inner) for key, inner in value.items() if key != "took"}
        return [dropped(item) for item in value] if isinstance(value, list) else value

    return dropped(parsed)


OLD = "application/vnd.elasticsearch+json; compatible-with=8"
LINES = {"Content-Type": "application/x-ndjson"}
MATCH = b'{"query":{"match":{"text":"moon"}},"sort":["_doc"]}'


@pytest.mark.parametrize(
    ("method", "path", "body", "headers"),
    [
        ("GET", "/_cluster/settings?flat_settings&pretty", None, {}),
        ("GET", "/", None, {}),
        ("HEAD", "/{index}", None, {}),
        ("HEAD", "/no-such-index", None, {}),
        ("GET", "/{index}/_doc/7", None, {}),
        ("GET", "/{index}/_doc/none", None, {}),
        ("POST", "/{index}/_search?q=text:frost%20AND%20kind:k1&size=1", None, {}),
        ("GET", "/{index}/_search?q=text:%C3%A9&size=1", None, {}),
        ("POST", "/{index}/_search?typed_keys&rest_total_hits_as_int=true", MATCH, {}),
        ("POST", "/{index}/_search", MATCH, {"Accept-Encoding": "gzip"}),
        ("POST", "/{index}/_search", gzip.compress(MATCH), {"Content-Encoding": "gzip"}),
        ("POST", "/{index}/_search?format=yaml&filter_path=hits", MATCH, {}),
        ("POST", "/{index}/_search", MATCH, {"Accept": "application/cbor"}),
        ("POST", "/{index}/_search", MATCH, {"Content-Type": OLD, "Accept": OLD}),
        ("POST", "/{index}/_search", b'{"query":{"made_up":{}}}', {}),
        ("POST", "/{index}/_search", b'{"ext":{"made_up":{}}}', {}),
        ("POST", "/{index}/_search", b'{"retriever":{"standard":{"query":{"match":{"text":"moon"}}}}}', {}),
        ("POST", "/{index}/_count", b'{"query":{"match":{"text":"moon"}}}', {"X-Opaque-Id": "mine"}),
        ("POST", "/{index}/_msearch", b'{}\n{"size":0}\n{}\n{"query":1}\n', LINES),
        ("POST", "/_msearch", b'{}\n{"size":0}', LINES),
        ("PUT", "/{index}/_mapping", b'{"properties":{"x":{"type":"none"}}}', {}),
        ("POST", "/{index}/_search", b"{}", {"Content-Type": "text/plain"}),
        ("DELETE", "/no-such-index", None, {}),
        ("PATCH", "/{index}", None, {}),
    ],
)  # fmt: skip
def test_what_goes_through_is_what_the_node_says(
    ends: Ends, index: str, method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> None:
    asked = path.format(index=index)
    direct = ends.raw(ends.node, method, asked, body, **headers)
    through = ends.raw(ends.gateway, method, asked, body, **headers)
    assert through[0] == direct[0]
    variable = {"content-length", "transfer-encoding", "connection"}
    assert {key: value for key, value in through[1].items() if key not in variable} == {
        key: value for key, value in direct[1].items() if key not in variable
    }
    if direct[1].get("content-encoding") == "gzip":
        direct, through = ((*one[:2], gzip.decompress(one[2])) for one in (direct, through))
    if headers.get("Accept") == "application/cbor":
        assert len(through[2]) == pytest.approx(len(direct[2]), abs=8)  # `took` may take more bytes
    else:
        assert without_took(through[2]) == without_took(direct[2])
