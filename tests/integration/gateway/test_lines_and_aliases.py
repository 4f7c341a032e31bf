"""`_msearch` with lines of both kinds, and aliases that are answered in a saved mode."""

from __future__ import annotations

import time

from tests.integration.conftest import MODEL, Sample
from tests.integration.gateway.ends import Ends


def test_an_msearch_may_mix_lines(ends: Ends, sample: Sample, index: str) -> None:
    alias = f"msm-{sample.name}"
    answer = ends.client(ends.gateway).msearch(
        searches=[
            {"index": index}, {"query": {"match": {"text": "frost"}}, "size": 1},
            {"index": alias}, {"query": {"match": {"text": "tide"}}, "ext": {"msmctl": {}}, "size": 2},
            {"index": "msm-none"}, {"size": 1},
            {"index": alias}, {"query": {"match": {"text": "tide"}}, "ext": {"msmctl": {"fusion": "none"}}},
            {"index": alias}, {"query": {"match": {"text": "tide"}}, "size": 3},
        ]
    ).body  # fmt: skip
    first, second, third, fourth, fifth = answer["responses"]
    assert [item["status"] for item in answer["responses"]] == [200, 200, 404, 400, 200]
    assert first["hits"]["hits"][0]["_index"] == index
    assert len(second["hits"]["hits"]) == 2
    assert "msmctl" in second["hits"]["hits"][0]["fields"]
    assert third["error"]["type"] == "index_not_found_exception"
    assert fourth["error"]["type"] == "illegal_argument_exception"
    assert len(fifth["hits"]["hits"]) == 3
    assert "fields" not in fifth["hits"]["hits"][0]


DISCOVER = {
    "query": {
        "bool": {
            "must": [],
            "filter": [{"multi_match": {"query": "cloud on the ground", "lenient": True}}],
            "should": [],
            "must_not": [],
        }
    },
    "size": 5,
    "sort": [{"_score": {"order": "desc"}}],
    "fields": [{"field": "*", "include_unmapped": True}],
    "highlight": {"pre_tags": ["@k@"], "post_tags": ["@/k@"], "fields": {"*": {}}},
    "stored_fields": ["*"], "script_fields": {}, "runtime_mappings": {}, "version": True, "_source": False,
    "track_total_hits": True,
}  # fmt: skip
"""What Kibana's Discover sends for words in its search bar."""


def test_a_saved_alias_answers_those_who_cannot_send_ext(ends: Ends, sample: Sample) -> None:
    alias = f"msm-{sample.name}"
    sample.msmctl("gateway", "set", alias, "hybrid", "--fusion", "rrf")
    try:
        limit = time.monotonic() + 30
        while True:
            status, _, answer = ends.ask(
                f"/{alias}/_async_search?wait_for_completion_timeout=200ms", DISCOVER
            )
            if status == 200 or time.monotonic() > limit:
                break
            time.sleep(0.2)
        assert (answer["is_running"], answer["is_partial"]) == (False, False)
        hits = answer["response"]["hits"]["hits"]
        assert hits[0]["_id"] == "fog"
        assert set(hits[0]["fields"]["msmctl"][0]["legs"]) == {"bm25", MODEL}
        assert "@k@" in hits[0]["highlight"]["text"][0]
        assert len(hits) == 5
        # What is no question goes to the node: a sort of its own, a count, a filter.
        for body in ({"sort": ["meta.chapter"]}, {"size": 0}, {"query": {"match_all": {}}}):
            _, _, plain = ends.ask(f"/{alias}/_search", DISCOVER | body)
            assert not any("msmctl" in hit.get("fields", {}) for hit in plain["hits"]["hits"])
    finally:
        sample.msmctl("gateway", "unset", alias)
