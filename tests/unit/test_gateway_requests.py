"""The gateway's pure parts that read requests: the path, what a query asks, what a body may say."""

from __future__ import annotations

from typing import Any

import pytest

from services.gateway import body, headers, multi, params, question, target
from services.gateway.hybrid import requested
from services.gateway.native import Refused
from tests.unit.gateway_kit import nested, reason

NOTHING = params.Params()


# -- the path --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "kind", "index"),
    [
        ("POST", b"/_search", "_search", None),
        ("GET", b"/msm-squad/_search", "_search", "msm-squad"),
        ("POST", b"/a%2Cb/_msearch/", "_msearch", "a,b"),
        ("POST", b"/msm-*/_async_search", "_async_search", "msm-*"),
    ],
)
def test_a_search_is_known_by_its_last_segment(
    method: str, path: bytes, kind: str, index: str | None
) -> None:
    assert target.of(method, path) == target.Target(kind, index)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", b"/i/_doc/_search"),
        ("POST", b"/i/_search/template"),
        ("POST", b"/_search/scroll"),
        ("DELETE", b"/_async_search/id"),
        ("PUT", b"/i/_search"),
        ("POST", b"/i/_searches"),
        ("GET", b"/"),
    ],
)
def test_nothing_else_is_looked_at(method: str, path: bytes) -> None:
    assert target.of(method, path) is None


# -- the words -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"match": {"text": "oil crisis"}}, "oil crisis"),
        ({"match": {"text": {"query": "oil crisis", "operator": "and"}}}, "oil crisis"),
        ({"multi_match": {"query": "oil", "fields": ["a", "b"]}}, "oil"),
        ({"query_string": {"query": "oil AND crisis"}}, "oil AND crisis"),
        ({"bool": {"must": {"simple_query_string": {"query": "oil"}}, "filter": {"term": {"x": 1}}}}, "oil"),
        ({"bool": {"filter": [{"bool": {"should": [{"match": {"text": "oil"}}]}}]}}, "oil"),
        ({"function_score": {"query": {"match": {"text": "oil"}}, "functions": []}}, "oil"),
        ({"dis_max": {"queries": [{"match": {"text": "oil"}}, {"term": {"x": "y"}}]}}, "oil"),
        ({"bool": {"must": {"match": {"text": "oil"}}, "must_not": {"match": {"text": "gas"}}}}, "oil"),
        (nested(5_000), "deep"),
    ],
)
def test_the_only_text_of_a_query_is_found_wherever_it_stands(query: dict[str, Any], text: str) -> None:
    assert question.only_text(query) == text


@pytest.mark.parametrize(
    "query",
    [
        None,
        {},
        [],
        "text",
        7,
        {"match_all": {}},
        {"match": {"year": 1999}},
        {"match": {}},
        {"match": None},
        {"match": {"text": {"query": None}}},
        {"query_string": {"query": "*"}},
        {"term": {"match": {"value": "oil"}}},
        {"bool": {"should": [{"match": {"title": "oil"}}, {"match": {"text": "oil"}}]}},
        {"bool": {"must_not": {"match": {"text": "oil"}}}},
    ],
)
def test_no_text_or_several_are_no_question(query: Any) -> None:
    assert question.only_text(query) is None


def test_filters_and_negations_are_conditions() -> None:
    query = {
        "bool": {
            "must": {"match": {"text": "oil"}},
            "filter": {"term": {"meta.topic": "x"}},
            "must_not": [{"term": {"meta.topic": "y"}}],
        }
    }
    assert question.conditions(query) == [
        {"term": {"meta.topic": "x"}},
        {"bool": {"must_not": [{"term": {"meta.topic": "y"}}]}},
    ]


@pytest.mark.parametrize("part", [7, "x", [7], [{"a": 1}, None]])
def test_what_is_no_clause_is_told(part: Any) -> None:
    with pytest.raises(Refused) as refused:
        question.conditions({"bool": {"filter": part}})
    assert "bool.filter" in reason(refused)


@pytest.mark.parametrize(
    ("query", "ranks"),
    [
        ({"match": {"text": "oil"}}, True),
        ({"bool": {"should": [{"match": {"text": "oil"}}]}}, True),
        ({"bool": {"filter": [{"match": {"text": "oil"}}]}}, False),
        ({"bool": {"must": [{"match_all": {}}], "filter": []}}, False),
        ({"match_all": {}}, False),
        (None, False),
    ],
)
def test_a_query_ranks_when_it_scores(query: Any, ranks: bool) -> None:
    assert question.scores(query) is ranks


def test_the_words_of_kibanas_search_bar_are_scored() -> None:
    kql = {
        "bool": {
            "must": [],
            "filter": [
                {"multi_match": {"query": "oil crisis", "type": "best_fields"}},
                {"exists": {"field": "title"}},
            ],
            "must_not": [],
        }
    }
    assert question.lifted(kql)["bool"] == {
        "must": [{"multi_match": {"query": "oil crisis", "type": "best_fields"}}],
        "filter": [{"exists": {"field": "title"}}],
        "must_not": [],
    }


# -- the body --------------------------------------------------------------------------------------


def test_keys_that_an_answer_cannot_follow_are_all_named() -> None:
    given = {"sort": [{"year": "asc"}], "collapse": {"field": "x"}, "knn": {"field": "v"}, "made_up": 1}
    with pytest.raises(Refused) as refused:
        body.read(given, NOTHING, "ext.msmctl")
    assert reason(refused).startswith("[ext.msmctl] cannot be used with [collapse], [knn], [made_up], [sort]")


@pytest.mark.parametrize(
    "key", ["search_after", "pit", "rescore", "suggest", "slice", "min_score", "terminate_after", "retriever"]
)
def test_no_unsupported_key_is_passed_over(key: str) -> None:
    with pytest.raises(Refused) as refused:
        body.read({key: [{"a": 1}]}, NOTHING, "ext.msmctl")
    assert f"[{key}]" in reason(refused)


@pytest.mark.parametrize("query", [b"scroll=1m", b"q=oil", b"made_up=1", b"sort=year:asc", b"explain=true"])
def test_parameters_of_the_url_are_not_passed_over_either(query: bytes) -> None:
    with pytest.raises(Refused) as refused:
        body.read({}, params.parse(query), "ext.msmctl")
    assert f"[{query.partition(b'=')[0].decode()}]" in reason(refused)


@pytest.mark.parametrize(
    "sort", ["_score", ["_score"], [{"_score": "desc"}], [{"_score": {"order": "desc"}}]]
)
def test_a_sort_by_score_says_what_holds_anyway(sort: Any) -> None:
    assert body.read({"sort": sort}, NOTHING, "ext.msmctl").size == 10


def test_empty_values_ask_for_nothing() -> None:
    given = {
        "script_fields": {},
        "runtime_mappings": {},
        "indices_boost": [],
        "explain": False,
        "collapse": None,
    }
    assert body.read(given, NOTHING, "ext.msmctl").query is None


def test_the_url_wins_over_the_body() -> None:
    said = params.parse(
        b"size=3&from=2&_source_includes=a,b&_source_excludes=c&track_total_hits=false&preference=_local"
    )
    read = body.read({"size": 7, "_source": True}, said, "ext.msmctl")
    assert (read.start, read.size) == (2, 3)
    assert read.fetch == {"_source": {"includes": ["a", "b"], "excludes": ["c"]}}
    assert read.count == {"track_total_hits": False}
    assert said.index == {"preference": "_local"}


@pytest.mark.parametrize(
    "given",
    [
        {"size": -1}, {"size": "many"}, {"size": "\u00b2"}, {"size": "9" * 5_000},
        {"size": 1.5}, {"size": True}, {"from": 9_999, "size": 2},
        {"query": []}, {"query": "oil"}, {"post_filter": 3}, {"timeout": "soon"}, [], "x", 3, None,
    ],
)  # fmt: skip
def test_wrong_types_are_a_400(given: Any) -> None:
    with pytest.raises(Refused) as refused:
        body.read(given, NOTHING, "ext.msmctl")
    assert reason(refused)


def test_a_body_too_deep_to_be_written_again_is_a_400() -> None:
    with pytest.raises(Refused) as refused:
        body.read({"query": nested(505)}, NOTHING, "ext.msmctl")
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("ext", "told"),
    [
        ([], "is an object"),
        ({"size": 3}, "[size]"),
        ({"fusion": 7}, "fusion"),
        ({"made_up": 1}, "made_up"),
        ({"rerank": {"window": 0}}, "rerank.window"),
        ({"mode": "best"}, "mode"),
    ],
)
def test_what_ext_says_wrongly_is_named(ext: Any, told: str) -> None:
    read = body.read({"query": {"match": {"text": "oil"}}}, NOTHING, "ext.msmctl")
    with pytest.raises(Refused) as refused:
        requested(ext, read)
    assert told in reason(refused)


def test_a_text_must_be_told() -> None:
    with pytest.raises(Refused) as refused:
        requested({}, body.read({"query": {"match_all": {}}}, NOTHING, "ext.msmctl"))
    assert "there are 0" in reason(refused)
    given = body.read({"query": {"match_all": {}}, "size": 3, "from": 6}, NOTHING, "ext.msmctl")
    request = requested({"query": "oil", "fusion": "rrf"}, given)
    assert (request.query, request.fusion, request.size, request.start) == ("oil", "rrf", 3, 6)


# -- _msearch --------------------------------------------------------------------------------------


def test_lines_of_an_msearch_are_kept_as_they_came() -> None:
    raw = b'{"index":["a","b"]}\n{"query": {"match_all":{}}}\n\n{broken\n'
    first, second = multi.split(raw) or []
    assert first + second == raw


@pytest.mark.parametrize(
    ("header", "index"), [(b'{"index":["a","b"]}', "a,b"), (b'{"index":"a"}', "a"), (b"{}", "c"), (b"", "c")]
)
def test_a_line_names_its_index_or_has_that_of_the_url(header: bytes, index: str) -> None:
    line = multi.parsed(header + b"\n{}\n", "c")
    assert line is not None
    assert line.index == index


@pytest.mark.parametrize(
    "raw",
    [
        b"{}\n{broken\n", b"{}\n[]\n", b"[]\n{}\n", b'{"index":7}\n{}\n', b'{"index":["a",{}]}\n{}\n',
        b'{"index":' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}\n{}\n",
    ],
)  # fmt: skip
def test_a_line_that_is_no_search_is_the_nodes_affair(raw: bytes) -> None:
    assert multi.parsed(raw, "c") is None


@pytest.mark.parametrize("raw", [b"{}\n{}", b"{}\n", b"{}\n{}\n{}\n", b"\n" * 10_000])
def test_an_msearch_that_is_not_in_order_is_the_nodes_affair(raw: bytes) -> None:
    assert multi.split(raw) is None


def test_a_warning_is_one_line_whatever_is_in_it() -> None:
    name, value = headers.warning('encode:my "best"\r\nSet-Cookie: a\\b:unavailable')
    assert name == b"warning"
    assert value == rb'299 msmctl "degraded: encode:my \"best\"  Set-Cookie: a\\b:unavailable"'
    assert len(headers.warning("x" * 1_000_000)[1]) < 300
