"""The contract of the ledger's documents, the same for Elasticsearch and for the file."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path

import pytest

from services.jobs.documents import Documents, Exists, Stale
from services.jobs.sqlite_documents import SqliteDocuments


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


def test_a_document_is_read_as_it_was_written(documents: Documents, key: str) -> None:
    text = "Zürich – 'quoted' \u0000 \"x\""
    body = {"text": text, "n": 2**53, "x": 0.1, "none": None, "list": [1, {"a": []}]}
    version = documents.create("jobs", key, body)
    stored = documents.get("jobs", key)
    assert stored is not None
    assert (stored.body, stored.version) == (body, version)


def test_what_is_not_there_is_none(documents: Documents, key: str) -> None:
    assert documents.get("jobs", key) is None


def test_tables_are_apart(documents: Documents, key: str) -> None:
    documents.create("jobs", key, {"a": 1})
    assert documents.get("chunks", key) is None


def test_creating_twice_is_refused(documents: Documents, key: str) -> None:
    documents.create("jobs", key, {"a": 1})
    with pytest.raises(Exists):
        documents.create("jobs", key, {"a": 2})
    stored = documents.get("jobs", key)
    assert stored is not None
    assert stored.body == {"a": 1}


def test_a_replacement_needs_the_present_version(documents: Documents, key: str) -> None:
    first = documents.create("chunks", key, {"a": 1})
    second = documents.replace("chunks", key, {"a": 2}, first)
    with pytest.raises(Stale):
        documents.replace("chunks", key, {"a": 3}, first)
    documents.replace("chunks", key, {"a": 4}, second)
    stored = documents.get("chunks", key)
    assert stored is not None
    assert stored.body == {"a": 4}


def test_a_deleted_document_cannot_be_replaced(documents: Documents, key: str) -> None:
    version = documents.create("chunks", key, {"a": 1})
    documents.delete_many("chunks", [key, "never-there"])
    with pytest.raises(Stale):
        documents.replace("chunks", key, {"a": 2}, version)


def test_many_are_read_at_once_without_the_missing(documents: Documents, key: str) -> None:
    documents.create_many("chunks", {f"{key}:{n}": {"n": n} for n in range(1200)})
    found = documents.get_many("chunks", [f"{key}:{n}" for n in range(1100, 1300)])
    assert {stored.body["n"] for stored in found.values()} == set(range(1100, 1200))


def test_creating_many_leaves_existing_ones_alone(documents: Documents, key: str) -> None:
    documents.create("chunks", f"{key}:0", {"old": True})
    documents.create_many("chunks", {f"{key}:{n}": {"old": False} for n in range(2)})
    found = documents.get_many("chunks", [f"{key}:0", f"{key}:1"])
    assert [found[f"{key}:{n}"].body["old"] for n in range(2)] == [True, False]


def test_found_by_a_field_newest_first(documents: Documents, key: str) -> None:
    for n, state in enumerate(["pending", "running", "failed", "running"]):
        documents.create(
            "jobs",
            f"{key}-{n}",
            {"state": state, "collection": key, "created": f"2026-11-21T07:00:0{n}.000Z"},
        )
    assert documents.find("jobs", "collection", [key]) == [f"{key}-{n}" for n in (3, 2, 1, 0)]
    found = [name for name in documents.find("jobs", "state", ["running", "pending"]) if key in name]
    assert found == [f"{key}-{n}" for n in (3, 1, 0)]
    assert len(documents.find("jobs", "collection", [key], limit=2)) == 2


def test_of_many_that_race_one_wins_each_round(documents: Documents, key: str) -> None:
    documents.create("chunks", key, {"count": 0})

    def add(times: int) -> None:
        while times:
            stored = documents.get("chunks", key)
            assert stored is not None
            try:
                body = {"count": stored.body["count"] + 1, "by": threading.get_ident()}
                documents.replace("chunks", key, body, stored.version)
            except Stale:
                continue
            times -= 1

    threads = [threading.Thread(target=add, args=(5,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = documents.get("chunks", key)
    assert stored is not None
    assert stored.body["count"] == 20


def test_a_file_is_shared_by_processes(tmp_path: Path) -> None:
    one, other = SqliteDocuments(tmp_path / "x.sqlite"), SqliteDocuments(tmp_path / "x.sqlite")
    version = one.create("jobs", "a", {"n": 1})
    other.replace("jobs", "a", {"n": 2}, version)
    with pytest.raises(Stale):
        one.replace("jobs", "a", {"n": 3}, version)
