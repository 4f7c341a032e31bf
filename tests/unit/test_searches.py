"""The log of searches, as far as it needs no Elasticsearch: documents, hashes, what is kept for how long."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from services.errors import AuthError
from services.kibana.fields import field_types
from services.searches import SearchRecord
from services.searches.query_hash import QueryHash
from services.searches.retention import expired, index_of
from services.settings import Settings

HASH = QueryHash(b"a key of sixteen")
WHOLE = SearchRecord(
    source="api", collection="squad", query="When did it begin?", took_ms=12.5, mode="hybrid",
    legs=("bm25", "all-MiniLM-L6-v2"), fusion="convex",
    rerank_model="ce-squad", rerank_window=50, reranked=30,
    size=10, start=0, hits=10, total=812, budget_ms=400.0, timing={"legs": 7.0, "rerank": 5.0},
    degraded=("rerank:timeout",), user="page", status=200, index="msm-squad-passages-v3", request_id="r1",
    at=datetime(2026, 11, 21, 12, 0, tzinfo=UTC),
)  # fmt: skip


def flat(document: dict[str, Any], above: str = "") -> set[str]:
    return {
        name
        for key, value in document.items()
        for name in (flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}"})
    }


def test_a_record_is_a_document_with_the_names_of_the_common_schema() -> None:
    assert WHOLE.document(HASH, text=False) == {
        "@timestamp": "2026-11-21T12:00:00.000+00:00",
        "event": {"action": "search", "duration": 12_500_000, "outcome": "success"},
        "service": {"name": "api"},
        "user": {"name": "page"},
        "http": {"request": {"id": "r1"}, "response": {"status_code": 200}},
        "collection": "squad", "index": "msm-squad-passages-v3",
        "query": {"hash": HASH("When did it begin?"), "length": 18},
        "mode": "hybrid", "legs": ["bm25", "all-MiniLM-L6-v2"], "fusion": "convex",
        "rerank": {"model": "ce-squad", "window": 50, "reranked": 30},
        "size": 10, "from": 0, "hits": 10, "total": 812, "zero_hits": False,
        "budget_ms": 400.0, "took_ms": 12.5, "latency": {"legs_ms": 7.0, "rerank_ms": 5.0},
        "degraded": ["rerank:timeout"],
    }  # fmt: skip


def test_every_field_is_in_the_mapping() -> None:
    failed = SearchRecord(source="gateway", collection="c", query="q", took_ms=1.0, error="unavailable")
    written = flat(WHOLE.document(HASH, text=True)) | flat(failed.document(HASH, text=True))
    assert written <= set(field_types("searches"))


def test_what_is_not_known_is_left_out_and_a_failure_found_nothing_that_counts() -> None:
    document = SearchRecord(
        source="gateway", collection="c", query="q", took_ms=3.0, error="unavailable", status=503
    ).document(HASH, text=False)
    assert document["event"]["outcome"] == "failure"
    assert document["error"] == {"code": "unavailable"}
    assert not {"user", "rerank", "latency", "hits", "zero_hits", "degraded", "fusion"} & set(document)


def test_an_answer_without_hits_says_so() -> None:
    document = SearchRecord(source="api", collection="c", query="q", took_ms=1.0).document(HASH, text=False)
    assert (document["hits"], document["zero_hits"]) == (0, True)


def test_the_text_of_a_query_is_only_there_when_it_is_asked_for() -> None:
    assert "begin" not in str(WHOLE.document(HASH, text=False))
    assert WHOLE.document(HASH, text=True)["query"]["text"] == "When did it begin?"


def test_a_half_character_can_be_written() -> None:
    record = SearchRecord(source="api", collection="c", query="a \ud800 b", took_ms=1.0)
    record.document(HASH, text=True)["query"]["text"].encode()


class TestHash:
    def test_case_form_and_white_space_make_no_other_query(self) -> None:
        assert HASH("Oil  Crisis\n") == HASH("oil crisis") == HASH("o\uff49l crisis")
        assert HASH("oil crisis") != HASH("oil crises")

    def test_it_cannot_be_made_without_the_key(self) -> None:
        assert QueryHash(b"another key here")("oil crisis") != HASH("oil crisis")

    def test_it_is_the_installation_s_and_missing_without_its_secret(self, tmp_path: Path) -> None:
        settings = Settings(home=tmp_path)
        with pytest.raises(AuthError, match="searches"):
            QueryHash.of(settings)
        settings.secrets_dir.mkdir()
        (settings.secrets_dir / "searches").write_text("secret\n")
        assert QueryHash.of(settings)("q") == QueryHash(b"secret")("q")


class TestRetention:
    TODAY = date(2026, 11, 21)

    def test_days_that_are_over_go_and_today_counts_as_one(self, tmp_path: Path) -> None:
        settings = Settings(home=tmp_path, searches_days=2)
        names = [index_of(settings, date(2026, 11, day)) for day in (18, 19, 20, 21, 22)]
        assert expired(settings, names, self.TODAY) == names[:2]

    def test_with_no_days_everything_goes(self, tmp_path: Path) -> None:
        settings = Settings(home=tmp_path, searches_days=0)
        today = index_of(settings, self.TODAY)
        assert expired(settings, [today], self.TODAY) == [today]

    def test_what_is_not_of_a_day_stays(self, tmp_path: Path) -> None:
        settings = Settings(home=tmp_path, searches_days=0)
        others = ["msm-searches-2026.02.30", "msm-searches-kept", "shop-searches-2020.01.01", "msm-jobs"]
        assert expired(settings, others, self.TODAY) == []
