"""A small installation under a prefix of its own, with every index that Kibana's data views look at.

What is in them was made by the code that writes them: publications, ledger, marks, the log of searches.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from services.elastic import names
from services.elastic.client import connect
from services.elastic.mapping import passages_body, queries_body, template
from services.jobs.elastic_documents import ElasticDocuments
from services.jobs.kind import DeadRow, Receipt
from services.jobs.kinds.probe import ProbeSpec
from services.jobs.ledger import Ledger
from services.jobs.records import STACK, Failure, Job, Row, new_job, new_row, now
from services.negatives.marks_store import MarksStore
from services.negatives.verdicts import Verdict
from services.searches import SearchRecord
from services.searches.query_hash import QueryHash
from services.searches.retention import index_of
from services.settings import Settings
from tests.integration.index_kit import Bench
from tests.integration.test_publish import Publishing

BOARDS = ("negatives", "jobs", "traffic")
FAILURE = Failure(code="bad_input", message="the file ends in the middle of a line")


class Installation:
    """Indices of one prefix; `clean` removes them."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.admin = connect(settings)
        self.reader = connect(settings, "reader")
        self.published = Publishing(Bench(settings, folder), folder, "tea")
        self._publish()
        self._index()
        self._work()
        self._search()
        self.admin.indices.refresh(index=settings.index("*"))

    def clean(self) -> None:
        for index in self.admin.indices.get(index=self.settings.index("*")):  # a wildcard may not delete
            self.admin.indices.delete(index=index)

    def documents(self) -> list[dict[str, Any]]:
        """The published candidates."""
        return list(self.published.documents().values())

    def _publish(self) -> None:
        marks = MarksStore(self.admin, self.settings)
        marks.mark(self.published.collection, "q1", "p5", Verdict.KEEP, "about another storm")
        self.published.publish(filters=("ce-margin=3",))

    def _index(self) -> None:
        """Two versions of passages, of which one is served, and queries."""
        for n in (1, 2):
            index = names.passages_index(self.settings, "tea", n)
            self._make(index, passages_body({}, [], "hnsw"))
            self._put(index, {"pid": f"v{n}", "ord": 0, "title": "The moon", "text": "It pulls the water."})
        queries = names.queries_index(self.settings, "tea", 2)
        self._make(queries, queries_body([]))
        self._put(queries, {"qid": "q1", "qord": 0, "split": "train", "text": "why tides"})
        for alias, index in (
            ("tea", names.passages_index(self.settings, "tea", 2)),
            ("tea-queries", queries),
        ):
            self.admin.indices.put_alias(index=index, name=self.settings.index(alias))

    def _work(self) -> None:
        """Jobs that ended well, badly and not yet; chunks that were done, tried again and are held."""
        ledger = ElasticDocuments(self.admin, self.settings)
        jobs = {state: new_job(ProbeSpec(numbers=n), "cpu", [], STACK) for n, state in enumerate(_STATES, 1)}
        for state, job in jobs.items():
            ledger.create("jobs", job.id, _job(job, state))
        rows = [_row(jobs["succeeded"], n) for n in range(4)]
        held = new_row(jobs["running"], "000009", "work", 0, 10)
        rows.append(held.model_copy(update={"state": "running", "worker": "w2", "attempt": 2, "losses": 1,
                                            "started": now(), "error": FAILURE}))  # fmt: skip
        ledger.create_many("chunks", {row.id: row.model_dump(mode="json") for row in rows})
        Ledger(ledger, shared=True).add_dead(
            new_row(jobs["dead_rows"], "000001", "work"), [DeadRow(row="p9", reason="long")]
        )

    def _search(self) -> None:
        index = index_of(self.settings, datetime.now(UTC).date())
        self._make(index, template("searches"))
        hashed = QueryHash.of(self.settings)
        for record in searches():
            self._put(index, record.document(hashed, text=False))

    def _make(self, index: str, body: dict[str, Any]) -> None:
        self.admin.indices.create(index=index, settings=body["settings"], mappings=body["mappings"])

    def _put(self, index: str, document: dict[str, Any]) -> None:
        self.admin.index(index=index, document=document)


_STATES = ("succeeded", "failed", "running", "dead_rows")


def _job(job: Job, state: str) -> dict[str, Any]:
    failed = {"error": FAILURE} if state == "failed" else {}
    return job.model_copy(update={"state": state, "started": now(), **failed}).model_dump(mode="json")


def _row(job: Job, n: int) -> Row:
    receipt = Receipt(rows=100 * (n + 1), bytes=10, seconds=float(n), worker="w1")
    done = {"state": "done", "worker": "w1", "started": now(), "ended": now(), "receipt": receipt}
    return new_row(job, f"{n:06d}", "work", n, n + 1).model_copy(update=done)


def searches() -> list[SearchRecord]:
    """Twenty answers of 10, 20 … 200 ms, one without hits, one degraded, one that failed."""
    at = datetime.now(UTC) - timedelta(minutes=1)
    common: dict[str, Any] = {
        "source": "api",
        "collection": "tea",
        "mode": "hybrid",
        "user": "page",
        "at": at,
    }
    timing = {"encode": 1.0, "legs": 5.0, "scores": 2.0, "rerank": 3.0, "fetch": 1.0}
    good = [
        SearchRecord(
            query=f"why {n}", took_ms=10.0 * n, hits=10, legs=("bm25", "tiny"), timing=timing, **common
        )
        for n in range(1, 21)
    ]
    zero = SearchRecord(query="zxqv", took_ms=3.0, hits=0, **common)
    late = SearchRecord(
        query="why salt", took_ms=400.0, hits=10, degraded=("rerank:timeout",), budget_ms=400.0,
        rerank_model="ce", rerank_window=50, reranked=20, timing=timing, **common,
    )  # fmt: skip
    failed = SearchRecord(query="why", took_ms=9.0, error="unavailable", status=503, **common)
    return [*good, zero, late, failed]
