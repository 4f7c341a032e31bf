"""Whatever a body says, the answer is one of Elasticsearch's, and never a 5xx."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from tests.integration.conftest import Sample
from tests.integration.gateway.ends import Ends

DEEP = 3_000
LONG = b" " * 100_000
HOSTILE: list[bytes] = [
    b"", b"{", b"null", b"[]", b'"msmctl"', b'{"ext":"msmctl","retriever":3}', b'{"ext":{"msmctl":null}}',
    b'{"ext":{"msmctl":[]}}', b'{"ext":{"msmctl":{"query":7}}}', b'{"ext":{"msmctl":{"query":""}}}',
    b'{"ext":{"msmctl":{"query":"\\ud800"}}}', b'{"ext":{"msmctl":{"query":"x","legs":[{"type":"dense"}]}}}',
    b'{"ext":{"msmctl":{"query":"x","filters":[7]}}}', b'{"ext":{"msmctl":{"query":"x","params":{"k":"y"}}}}',
    b'{"ext":{"msmctl":{"query":"x"}},"size":1e99}', b'{"ext":{"msmctl":{"query":"x"}},"query":[]}',
    b'{"ext":{"msmctl":{"query":"x"}},"query":{"bool":7}}', b'{"ext":{"msmctl":{"query":"x"}},"_source":7}',
    b'{"ext":{"msmctl":{"query":"x"}},"query":{"bool":{"filter":"y"}}}',
    b'{"ext":{"msmctl":{"query":"x"}},"highlight":7}', b'{"ext":{"msmctl":{"query":"x"}},"aggs":[1]}',
    b'{"ext":{"msmctl":{"query":"x"}},"fields":{"a":1}}', b'{"ext":{"msmctl":{"query":"x","budget_ms":-1}}}',
    b'{"ext":{"msmctl":{"query":"x"}},"track_total_hits":"perhaps"}',
    b'{"ext":{"msmctl":{"query":"x"}},"size":"\xc2\xb2"}', b'{"retriever":{"rrf":{}},"msmctl":1}',
    b'{"retriever":{"rrf":{"retrievers":[{"standard":7}]}}}',
    b'{"retriever":{"rrf":{"retrievers":[{"knn":{}}]}}}',
    b'{"retriever":{"linear":{"retrievers":[{"retriever":null,"weight":"x"}]}}}',
    b'{"retriever":{"rrf":{"retrievers":[{"standard":{}}],"rank_window_size":1e400}}}',
    b'{"ext":{"msmctl":{"query":"x"}},"query":{"bool":{"filter":{"term":{"ord":' + b"9" * 40 + b"}}}}}",
    b'{"retriever":{"rrf":{"retrievers":[{"standard":{"query":{"match":{"text":"\\ud800"}}}},'
    b'{"standard":{"query":{"term":{"ord":' + b"9" * 40 + b"}}}}]}}}",
    b'{"ext":{"msmctl":{"query":"' + b"x " * 60_000 + b'"}}}', b'{"ext":{"msmctl":{"query":"\x00\xff"}}}',
    b'{"ext":{"msmctl":{}},"query":' + b'{"bool":{"must":' * DEEP + b"{}" + b"}}" * DEEP + b"}",
    b'{"ext":{"msmctl":{}},"query":' + b'{"bool":{"must":' * 400 + b'{"match_all":{}}' + b"}}" * 400 + b"}",
    b'{"ext":{"msmctl":{}},"query":' + b'{"bool":{"must":' * 505 + b'{"match_all":{}}' + b"}}" * 505 + b"}",
    b'{"retriever":{"rrf":{"retrievers":[{"standard":{"query":'
    + b'{"bool":{"must":' * 150 + b'{"match_all":{}}' + b"}}" * 150 + b"}}]}}}",
    b'{"retriever":' + b'{"rrf":{"retrievers":[' * 300 + b'{"standard":{}}' + b"]}}" * 300 + b"}",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["_search", "_msearch"])
def test_no_body_makes_it_fail(ends: Ends, sample: Sample, kind: str) -> None:
    path = f"/msm-{sample.name}/{kind}"
    for body in HOSTILE:
        lines = b"{}\n" + body.replace(b"\n", b"") + b"\n" if kind == "_msearch" else body
        for sent in (lines, lines[:-1]):
            status, _, answer = ends.raw(ends.gateway, "POST", path, sent)
            assert status < 500, (sent[:100], answer[:500])
            if status == 200 and kind == "_msearch":
                assert all(item["status"] < 500 for item in json.loads(answer)["responses"]), sent[:100]


@pytest.mark.parametrize(
    "asked",
    [
        {"ext": {"msmctl": {"query": "x", "filters": ["made-up=1"]}}},
        {"ext": {"msmctl": {"query": "x", "mode": "dense", "systems": ["made-up"]}}},
        {"ext": {"msmctl": {"query": "x", "rerank": {"model": "made-up"}}}},
        {"retriever": {"rrf": {"retrievers": [{"knn": {
            "field": "v", "k": 1, "num_candidates": 1,
            "query_vector_builder": {"text_embedding": {"model_id": "made-up", "model_text": "x"}},
        }}]}}},
    ],
)  # fmt: skip
def test_who_is_not_let_in_learns_nothing(ends: Ends, sample: Sample, asked: dict[str, Any]) -> None:
    path, nobody = f"/msm-{sample.name}/_search", base64.b64encode(b"reader:guessed").decode()
    for said in (f"Basic {nobody}", ""):
        refused = ends.raw(ends.gateway, "POST", path, json.dumps(asked).encode(), Authorization=said)
        plain = ends.raw(ends.node, "POST", "/_msearch", b'{}\n{"size":0}\n', Authorization=said)
        assert (refused[0], json.loads(refused[2])) == (401, json.loads(plain[2]))


def test_who_is_not_let_in_has_a_long_search_refused_as_the_node_refuses_it(
    ends: Ends, sample: Sample
) -> None:
    nobody = base64.b64encode(b"reader:guessed").decode()
    search = b'{"ext":{"msmctl":{"query":"x"}}}'
    path = f"/msm-{sample.name}"
    for kind, body in (("_search", search + LONG), ("_msearch", b"{}\n" + search + b"\n")):
        for said in (f"Basic {nobody}", ""):
            through, direct = (
                ends.raw(end, "POST", f"{path}/{kind}", body, Authorization=said)
                for end in (ends.gateway, ends.node)
            )
            assert through[0] == 401
            assert (through[0], through[2]) == (direct[0], direct[2])


@pytest.mark.parametrize("user", ["admin", "reader"])
def test_who_is_let_in_has_a_long_search_answered(ends: Ends, sample: Sample, user: str) -> None:
    search = json.dumps({"ext": {"msmctl": {"query": "tide", "mode": "bm25"}}, "size": 1}).encode()
    path = f"/msm-{sample.name}"
    packed = gzip.compress(search + LONG)
    lines = b'{"index":"msm-' + sample.name.encode() + b'"}\n' + search + b"\n"
    for target, body, headers in (
        (f"{path}/_search", search + LONG, {}),
        (f"{path}/_search", packed, {"Content-Encoding": "gzip"}),
        ("/_msearch", lines * 100, {}),
    ):
        status, _, answer = ends.raw(ends.gateway, "POST", target, body, user, **headers)
        parsed = json.loads(answer)
        items = parsed["responses"] if target == "/_msearch" else [parsed]
        assert status == 200, answer[:500]
        assert all("msmctl" in item["hits"]["hits"][0]["fields"] for item in items)


def test_millions_of_lines_are_the_nodes_affair(ends: Ends) -> None:
    body = gzip.compress(b'"msmctl"\n' + b"\n" * 33_000_000)
    through, direct = (
        ends.raw(end, "POST", "/_msearch", body, Content_Encoding="gzip") for end in (ends.gateway, ends.node)
    )
    assert (through[0], through[2]) == (direct[0], direct[2])
