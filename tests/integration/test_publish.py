"""Published negatives: the documents, the alias, what is fresh, and who may do what."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import ApiError, AuthorizationException, BadRequestError

from services.collections.collection import Collection
from services.elastic import names
from services.elastic.client import connect
from services.errors import CheckFailed, Conflict
from services.jobs.kind import Context
from services.jobs.kinds.publish import PublishKind, PublishSpec
from services.negatives.marks_store import MarksStore
from services.negatives.verdicts import Verdict
from services.publishing import publication, versions
from services.publishing.documents import document_id
from tests.conftest import ROOT
from tests.integration.conftest import Shell
from tests.integration.index_kit import Bench
from tests.unit.small_collection import make, update
from tests.unit.small_runs import save_run
from tests.unit.small_scores import save_scores

KIND = PublishKind()
TAS_B = "msmarco-distilbert-base-tas-b"
SLUG = "msmarco_distilbert_base_tas_b"
PASSAGES = {
    "p1": "The moon pulls the water nearest to it and so the sea rises twice a day.",
    "p2": "THE MOON pulls the water nearest to it, and so the sea rises twice a day!",
    "p3": "Rivers carry minerals to the sea, where they stay behind as salt.",
    "p4": "Dew settles on grass that has given off its warmth to the night sky.",
    "p5": "Thunder is air that lightning has heated.",
}
RANKED = {
    "bm25": {"q1": ["p1", "p2", "p3", "p4"], "q2": ["p4", "p3", "p5"]},
    TAS_B: {"q1": ["p5", "p1", "p4", "p3"], "q2": ["p3"]},
}
CANDIDATES = {("q1", pid) for pid in PASSAGES} | {("q2", pid) for pid in ("p3", "p4", "p5")}
# q1's lowest positive has 5: with the model's margin of 3, p4 (2.5) is within it and p3 (1.0) is not.
SCORES = {("q1", "p1"): 5.0, ("q1", "p3"): 1.0, ("q1", "p4"): 2.5, ("q2", "p3"): 6.0, ("q2", "p4"): -7.0}


class Publishing:
    """A collection with two runs and scores, and publish jobs run step by step as the worker."""

    def __init__(self, bench: Bench, folder: Path, name: str) -> None:
        self.bench = bench
        self.folder = folder
        self.settings = bench.settings
        self.client = bench.client
        self.alias = names.negatives_alias(bench.settings, name)
        self.collection = make(
            folder, name=name, passages=PASSAGES,
            queries={"train": {"q1": "why tides", "q2": "why salt"}},
            qrels={"train": [("q1", "p1", 1), ("q2", "p3", 1)]},
        )  # fmt: skip
        for system, ranked in RANKED.items():
            save_run(self.collection, system, ranked)
        save_scores(self.collection, SCORES)

    def spec(self, **more: Any) -> PublishSpec:
        return PublishSpec(
            collection=self.collection.name, collection_version=self.collection.state.version,
            split="train", systems=(*RANKED,), **more,
        )  # fmt: skip

    def job(self, n: int) -> Context:
        return dataclasses.replace(self.bench.context, job_id=f"publish-test-{n}")

    def publish(self, job: int = 1, **more: Any) -> dict[str, Any]:
        spec, context = self.spec(**more), self.job(job)
        receipts = [KIND.run_chunk(context, spec, chunk) for chunk in KIND.plan(context, spec)]
        return KIND.finish(context, spec, receipts)

    def documents(self) -> dict[tuple[str, str], dict[str, Any]]:
        found = self.client.search(index=self.alias, size=100)["hits"]["hits"]
        by_pair = {(hit["_source"]["qid"], hit["_source"]["pid"]): hit["_source"] for hit in found}
        assert len(by_pair) == len(found)
        return by_pair

    def clean(self) -> None:
        for version in versions.versions(self.client, self.settings, self.collection.name):
            self.client.indices.delete(index=version.index)


@pytest.fixture
def publishing(bench: Bench, tmp_path: Path, unique: str) -> Any:
    made = Publishing(bench, tmp_path, unique)
    yield made
    made.clean()


def test_every_candidate_is_one_document_with_all_that_is_known_of_it(publishing: Publishing) -> None:
    publishing.publish()
    documents = publishing.documents()
    assert documents.keys() == CANDIDATES
    found = documents["q1", "p4"]
    runs = {slug: (one.pop("run"), one.pop("model")) for slug, one in found["systems"].items()}
    assert all(len(run) == 12 and model == "f" for run, model in runs.values())
    assert len({run for run, _ in runs.values()}) == 2
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT.*\+00:00", found.pop("@timestamp"))
    assert found == {
        "collection": publishing.collection.name, "split": "train", "qid": "q1", "query": "why tides",
        "pid": "p4", "text": PASSAGES["p4"], "system": ["bm25", TAS_B],
        "negative_of": ["bm25", TAS_B], "returned_by": 2, "best_rank": 3,
        "systems": {
            "bm25": {"rank": 4, "score": 1.0, "negative": True},
            SLUG: {"rank": 3, "score": pytest.approx(11 / 3), "negative": True},
        },
        "ce": "ms-marco-MiniLM-L6-v2", "ce_fingerprint": "of-ms-marco-", "ce_score": 2.5, "margin": 2.5,
        "verdict": "likely_positive", "by_person": False, "negative": True,
        "reason": "score 2.50, 2.50 below the lowest positive: within the margin of 3",
    }  # fmt: skip


def test_verdicts_and_what_is_not_scored_are_told(publishing: Publishing) -> None:
    publishing.publish()
    documents = publishing.documents()
    assert {pid: documents["q1", pid]["verdict"] for pid in PASSAGES} == {
        "p1": "positive", "p2": "near_duplicate", "p3": "keep", "p4": "likely_positive", "p5": "keep",
    }  # fmt: skip
    assert "ce_score" not in documents["q1", "p5"]
    assert documents["q1", "p5"]["reason"] == "not scored"
    assert (documents["q1", "p2"]["negative"], documents["q1", "p2"]["left_out_by"]) == (
        False, ["near_duplicate"],
    )  # fmt: skip


def test_filters_say_what_they_took_out(publishing: Publishing) -> None:
    publishing.publish(filters=("ce-margin=3",))
    documents = publishing.documents()
    assert [pid for pid in PASSAGES if documents["q1", pid]["negative"]] == ["p3"]
    assert documents["q1", "p4"]["left_out_by"][0].startswith("ce-margin")


def test_a_persons_word_is_published_as_such(publishing: Publishing) -> None:
    marks = MarksStore(connect(publishing.settings), publishing.settings)
    marks.mark(publishing.collection, "q1", "p4", Verdict.KEEP, "about another sea")
    publishing.publish()
    found = publishing.documents()["q1", "p4"]
    assert (found["verdict"], found["by_person"]) == ("keep", True)
    assert found["reason"] == "a person: about another sea"
    publishing.publish(job=2, marks=False)
    assert publishing.documents()["q1", "p4"]["verdict"] == "likely_positive"


def of_docs(language: str) -> str:
    page = (ROOT / "docs" / "publish.md").read_text("utf-8")
    [query] = re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return str(query)


def test_the_query_in_the_docs_finds_what_the_cross_encoder_thinks_positive(publishing: Publishing) -> None:
    publishing.publish()
    reader = connect(publishing.settings, user="reader")
    hits = reader.search(index=publishing.alias, **json.loads(of_docs("json")))["hits"]["hits"]
    [found] = [hit["_source"] for hit in hits]
    assert (found["qid"], found["pid"], found["systems"][SLUG]["rank"]) == ("q1", "p4", 3)
    assert found.keys() == {"qid", "query", "pid", "text", "systems", "ce_score", "margin", "reason"}


def test_so_does_the_query_for_nodes_that_have_esql(publishing: Publishing) -> None:
    publishing.publish()
    query = of_docs("esql").replace("msm-squad-negatives", publishing.alias)
    try:
        answer = connect(publishing.settings, user="reader").esql.query(query=query, format="json")
    except ApiError as error:
        if error.status_code == 405:
            pytest.skip("this node has no ES|QL")
        raise
    columns = [column["name"] for column in answer["columns"]]
    rows = [dict(zip(columns, row, strict=True)) for row in answer["values"]]
    assert [(row["qid"], row["pid"], row[f"systems.{SLUG}.rank"]) for row in rows] == [("q1", "p4", 3)]


def test_what_is_fresh_is_known_by_its_inputs(publishing: Publishing) -> None:
    context = publishing.job(9)
    assert KIND.fresh(context, publishing.spec()) is None
    index = publishing.publish()["index"]
    assert KIND.fresh(context, publishing.spec()) == index
    assert KIND.fresh(context, publishing.spec(filters=("rank-range=1:3",))) is None
    assert KIND.fresh(context, publishing.spec(queries=1)) is None
    assert KIND.fresh(context, publishing.spec(texts=False)) is None
    marks = MarksStore(connect(publishing.settings), publishing.settings)
    marks.mark(publishing.collection, "q1", "p3", Verdict.KEEP, "salt")
    assert KIND.fresh(context, publishing.spec()) is None
    marks.unmark(publishing.collection, "q1", "p3")
    assert KIND.fresh(context, publishing.spec()) == index
    save_scores(publishing.collection, {("q1", "p5"): 4.5})
    assert KIND.fresh(context, publishing.spec()) is None
    publishing.publish(job=2)
    save_run(publishing.collection, "bm25", {"q1": ["p5"]}, folder="again", forced=True)
    assert KIND.fresh(context, publishing.spec()) is None
    publishing.publish(job=3)
    publishing.collection = update(
        publishing.folder, name=publishing.collection.name, qrels={"train": [("q1", "p5", 1)]}
    )
    assert KIND.fresh(context, publishing.spec()) is None


def test_chunks_that_run_twice_leave_each_document_once(
    publishing: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.jobs.kinds.publish.CHUNK_CANDIDATES", 1)
    spec, context = publishing.spec(), publishing.job(1)
    chunks = KIND.plan(context, spec)
    assert [(chunk.lo, chunk.hi) for chunk in chunks] == [(0, 1), (1, 2)]
    KIND.run_chunk(context, spec, chunks[1])
    assert KIND.plan(context, spec) == chunks  # the same version again
    receipts = [KIND.run_chunk(context, spec, chunk) for chunk in chunks]
    result = KIND.finish(context, spec, receipts)
    assert (result["version"], result["documents"]) == (1, len(CANDIDATES))
    assert KIND.finish(context, spec, receipts)["documents"] == len(CANDIDATES)
    assert publishing.documents().keys() == CANDIDATES


def test_what_changes_while_it_is_published_is_never_mixed(publishing: Publishing) -> None:
    first = publishing.publish()["index"]
    spec, context = publishing.spec(queries=2, texts=False), publishing.job(2)
    [chunk] = KIND.plan(context, spec)
    save_scores(publishing.collection, {("q1", "p5"): 4.5})
    with pytest.raises(Conflict, match="have changed since"):
        KIND.run_chunk(context, spec, chunk)
    assert [*publishing.client.indices.get_alias(name=publishing.alias)] == [first]


def test_a_version_that_lacks_documents_is_not_served(publishing: Publishing) -> None:
    spec, context = publishing.spec(), publishing.job(1)
    receipts = [KIND.run_chunk(context, spec, chunk) for chunk in KIND.plan(context, spec)]
    receipts[0].facts["documents"] += 1
    with pytest.raises(CheckFailed, match="8 documents instead of 9"):
        KIND.finish(context, spec, receipts)
    assert not publishing.client.indices.exists_alias(name=publishing.alias)


def test_two_old_versions_stay_and_what_was_abandoned_goes(publishing: Publishing) -> None:
    ended = dataclasses.replace(publishing.job(7), job_ended=lambda job: job.endswith("-5"))
    removed = [publishing.publish(job=n)["removed"] for n in range(1, 5)]
    index = f"{publishing.alias}-v"
    assert removed == [[], [], [], [f"{index}1"]]
    KIND.plan(publishing.job(5), publishing.spec())  # v5, and then its job was cancelled
    KIND.plan(publishing.job(6), publishing.spec())  # v6, still being built
    assert versions.prune(ended.elastic(), ended.settings, publishing.collection.name, ended.job_ended) == [
        f"{index}5"
    ]
    there = versions.versions(publishing.client, publishing.settings, publishing.collection.name)
    assert [(v.n, v.served) for v in there] == [(2, False), (3, False), (4, True), (6, False)]


def test_many_candidates_are_sampled_without_texts_unless_told_otherwise(
    publishing: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publication, "MANY", 11)  # there are 12, counted per system
    monkeypatch.setattr(publication, "SAMPLE", 1)
    result = publishing.publish()
    assert (result["queries"], result["of_queries"], result["texts"]) == (1, 2, False)
    assert not any("text" in source for source in publishing.documents().values())
    result = publishing.publish(job=2, everything=True, texts=True)
    assert (result["queries"], result["texts"]) == (2, True)
    monkeypatch.setattr(publication, "MANY", 12)
    result = publishing.publish(job=3)
    assert (result["queries"], result["texts"]) == (2, True)


def test_the_mapping_takes_nothing_that_it_does_not_know(publishing: Publishing) -> None:
    version = versions.allocate(
        publishing.client, publishing.settings,
        publishing_meta(publishing, publishing.job(1)),
    )  # fmt: skip
    with pytest.raises(BadRequestError, match="strict_dynamic_mapping"):
        publishing.client.index(index=version.index, document={"qid": "q1", "colour": "red"})


def publishing_meta(publishing: Publishing, context: Context) -> publication.Publication:
    KIND.plan(context, publishing.spec())
    [version] = versions.versions(publishing.client, publishing.settings, publishing.collection.name)
    return version.meta


@pytest.mark.parametrize("user", ["reader", "api"])
def test_who_reads_may_look_and_not_write(publishing: Publishing, user: str) -> None:
    index = publishing.publish()["index"]
    client = connect(publishing.settings, user=user)
    assert client.count(index=publishing.alias)["count"] == len(CANDIDATES)
    with pytest.raises(AuthorizationException):
        client.delete(index=index, id=document_id("q1", "p1"))
    with pytest.raises(AuthorizationException):
        client.indices.delete(index=index)


def test_the_dispatcher_sees_no_published_passage(publishing: Publishing) -> None:
    publishing.publish()
    with pytest.raises(AuthorizationException):
        connect(publishing.settings, user="dispatcher").count(index=publishing.alias)


def test_the_index_of_passages_is_numbered_and_served_apart(publishing: Publishing) -> None:
    publishing.publish()
    publishing.publish(job=2, texts=False)
    bench, collection = publishing.bench, publishing.collection
    bench._names.add(collection.name)
    assert bench.build(Collection.open(bench.store, collection.name))["version"] == 1
    assert publishing.documents().keys() == CANDIDATES


def test_versions_are_listed_and_removed(
    publishing: Publishing, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MSM_STORE", str(publishing.folder / "store"))
    publishing.publish()
    publishing.publish(job=2, texts=False)
    there = ["--collection", publishing.collection.name, "--json"]
    listed = json.loads(shell.msmctl("publish", "ls", *there))
    assert [(row["version"], row["served"], row["documents"]) for row in listed] == [
        (1, False, 8),
        (2, True, 8),
    ]
    assert json.loads(shell.msmctl("publish", "rm", "v1", "--yes", *there)) == {
        "removed": [f"{publishing.alias}-v1"]
    }
    assert "would be removed" in shell.run("publish", "rm", "v2", *there).stderr
    assert "no published version v1 (there: v2)" in shell.run("publish", "rm", "v1", "--yes", *there).stderr
