"""Exports: the reference format, no negative that is none, whole files only, the same bytes every time."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_collection import make, update
from small_runs import save_run

from services.errors import CheckFailed, Conflict, InputError, NotFound, UsageError
from services.exports.export import ExportRequest, plan, summary, survey, write
from services.exports.format import Counts
from services.exports.registry import FORMATS
from services.exports.verify import verify
from services.negatives.opening import Asked

TAS_B = "msmarco-distilbert-base-tas-b"
PASSAGES = {
    "p1": "The moon pulls the water nearest to it and so the sea rises twice a day.",
    "p2": "THE MOON pulls the water nearest to it, and so the sea rises twice a day!",
    "p3": "Rivers carry minerals to the sea, where they stay behind as salt.",
    "p4": "Dew settles on grass that has given off its warmth to the night sky.",
    "p5": "Thunder is air that lightning has heated.",
}
QUERIES = {"train": {"q1": "why tides", "q2": "why salt", "q3": "why dew"}}
QRELS = {"train": [("q1", "p1", 1), ("q2", "p3", 1)]}


@pytest.fixture
def collection(tmp_path):
    collection = make(tmp_path, passages=PASSAGES, queries=QUERIES, qrels=QRELS)
    save_run(collection, "bm25", {"q1": ["p1", "p2", "p3", "p4"], "q2": ["p4", "p3", "p5"], "q3": ["p4"]})
    save_run(collection, TAS_B, {"q1": ["p5", "p1", "p4", "p3"], "q2": ["p3"]})
    return collection


def request(file, *, split="train", force=False, **asked):
    asked = Asked(split, marks=asked.pop("marks", None), **asked)
    return ExportRequest(FORMATS["hard-negatives"], asked, file, force)


def rows(file):
    return [json.loads(line) for line in gzip.open(file, "rt")]


def test_the_reference_format_with_its_keys(tmp_path, collection):
    file = tmp_path / "n.jsonl.gz"
    write(plan(collection, request(file)))
    assert rows(file) == [
        {"qid": "q1", "pos": ["p1"], "neg": {"bm25": ["p3", "p4"], TAS_B: ["p5", "p4", "p3"]}},
        {"qid": "q2", "pos": ["p3"], "neg": {"bm25": ["p4", "p5"], TAS_B: []}},
    ]  # fmt: skip


def test_depth_and_systems_are_chosen(tmp_path, collection):
    file = tmp_path / "n.jsonl"
    write(plan(collection, request(file, systems=["bm25"], depth=1)))
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["neg"] for line in lines] == [{"bm25": ["p3"]}, {"bm25": ["p4"]}]


def test_ids_are_integers_only_if_all_are(tmp_path):
    collection = make(tmp_path, passages={"7": "one two three", "12": "four five six"},
                      queries={"train": {"3": "x"}}, qrels={"train": [("3", "7", 1)]})  # fmt: skip
    save_run(collection, "bm25", {"3": ["7", "12"]})
    write(plan(collection, request(tmp_path / "n.gz")))
    assert rows(tmp_path / "n.gz") == [{"qid": 3, "pos": [7], "neg": {"bm25": [12]}}]
    mixed = update(tmp_path, passages={"x": "seven"})
    write(plan(mixed, request(tmp_path / "m.gz")))
    assert rows(tmp_path / "m.gz") == [{"qid": "3", "pos": ["7"], "neg": {"bm25": ["12"]}}]


def test_queries_without_a_positive_where_all_runs_have_them(tmp_path, collection):
    for system in ("bm25", TAS_B):
        save_run(collection, system, {"q3": ["p4", "p1"]}, all_queries=True, folder="all")
    write(plan(collection, request(tmp_path / "n.gz")))
    assert rows(tmp_path / "n.gz")[2]["pos"] == []
    assert rows(tmp_path / "n.gz")[2]["neg"]["bm25"] == ["p4", "p1"]


def test_removed_passages_are_left_out_and_the_run_is_called_stale(tmp_path, collection):
    after = update(tmp_path, delete=["p4"])
    planned = plan(after, request(tmp_path / "n.gz"))
    assert list(planned.stale) == ["bm25", TAS_B]
    write(planned)
    assert "p4" not in (tmp_path / "n.gz.manifest.json").read_text()
    assert all("p4" not in ids for row in rows(tmp_path / "n.gz") for ids in row["neg"].values())


def test_queries_that_a_run_lacks_make_it_stale_and_are_counted(tmp_path, collection):
    assert plan(collection, request(tmp_path / "n.gz")).stale == {}
    judged = {"train": [*QRELS["train"], ("q3", "p4", 1), ("q4", "p5", 1)]}
    planned = plan(update(tmp_path, queries={"train": {"q4": "why thunder"}}, qrels=judged),
                   request(tmp_path / "n.gz"))  # fmt: skip
    assert summary(planned, None)["stale"] == ["bm25", TAS_B]
    assert summary(planned, None)["absent"] == {"bm25": 2, TAS_B: 2}


def test_the_command_that_refreshes_a_stale_run_asks_for_what_it_was_asked_for(tmp_path, collection):
    save_run(collection, "bm25", {"q1": ["p2"]}, depth=7)
    save_run(collection, TAS_B, {"q1": ["p2"]}, depth=9, all_queries=True)
    stale = plan(update(tmp_path, delete=["p4"]), request(tmp_path / "n.gz")).stale
    mine = "msmctl mine --collection small --split train --system"
    assert stale["bm25"].refresh == f"{mine} bm25 --depth 7 --refresh"
    assert stale[TAS_B].refresh == f"{mine} {TAS_B} --depth 9 --engine es --all-queries --refresh"


def test_the_manifest_says_what_the_file_is_made_from(tmp_path, collection):
    file = tmp_path / "n.jsonl.gz"
    write(plan(collection, request(file)))
    manifest = json.loads((tmp_path / "n.jsonl.gz.manifest.json").read_text())
    assert manifest["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (manifest["queries"], manifest["negatives"], manifest["bytes"]) == (2, 7, file.stat().st_size)
    inputs = manifest["inputs"]
    assert inputs["collection_fingerprint"] == collection.state.fingerprint
    assert inputs["systems"]["bm25"]["depth"] == 50
    assert inputs["systems"]["bm25"]["fingerprint"] == "f"
    assert {"filters", "marks", "software", "exclusion"} <= inputs.keys()


def test_what_is_fresh_is_seen(tmp_path, collection):
    file = tmp_path / "n.jsonl.gz"
    assert not plan(collection, request(file)).fresh
    write(plan(collection, request(file)))
    assert plan(collection, request(file)).fresh
    assert not plan(collection, request(file, depth=1)).fresh
    assert not plan(collection, request(file, force=True)).fresh
    file.unlink()
    assert not plan(collection, request(file)).fresh


@pytest.mark.parametrize("content", [b"my own words", None])
def test_what_is_no_export_of_ours_any_more_is_not_overwritten(tmp_path, collection, content):
    """Changed bytes count, as many as before or not."""
    file = tmp_path / "n.jsonl.gz"
    write(plan(collection, request(file)))
    content = content or file.read_bytes()[:-1] + b"x"
    file.write_bytes(content)
    for asked in (request(file), request(file, depth=1)):
        with pytest.raises(Conflict, match=r"n\.jsonl\.gz: has been changed since") as caught:
            plan(collection, asked)
        assert "--force" in caught.value.hint
    assert file.read_bytes() == content
    write(plan(collection, request(file, force=True)))
    assert plan(collection, request(file)).fresh


def test_killed_between_manifest_and_file_the_same_command_finishes_it(tmp_path, collection, monkeypatch):
    file = tmp_path / "n.jsonl"
    write(plan(collection, request(file)))

    def killed(path, manifest):
        path.write_text(manifest.model_dump_json())
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("services.exports.place._write", killed)
        with pytest.raises(KeyboardInterrupt):
            write(plan(collection, request(file, depth=1)))
    write(plan(collection, request(file, depth=1)))
    assert plan(collection, request(file, depth=1)).fresh


@pytest.mark.parametrize("ending", ["jsonl.gz", "jsonl.zst", "jsonl"])
def test_a_killed_export_goes_on_and_has_the_same_bytes(tmp_path, collection, monkeypatch, ending):
    monkeypatch.setattr("services.negatives.reader.BLOCK", 1)
    whole, cut = tmp_path / f"whole.{ending}", tmp_path / f"cut.{ending}"
    write(plan(collection, request(whole)))

    class Killed(BaseException):
        pass

    def kill(queries: int) -> None:
        if queries:
            raise Killed

    with pytest.raises(Killed):
        write(plan(collection, request(cut)), kill)
    assert not cut.exists()
    (tmp_path / f".cut.{ending}.partial").open("ab").write(b"half a block")
    again: list[int] = []
    write(plan(collection, request(cut)), again.append)
    assert again == [1, 2], "the first block is not written again"
    assert cut.read_bytes() == whole.read_bytes()
    assert sorted(p.name for p in tmp_path.glob("*cut*")) == [f"cut.{ending}", f"cut.{ending}.manifest.json"]
    assert not list(tmp_path.glob(".*"))


def test_an_unfinished_file_of_other_inputs_is_started_over(tmp_path, collection):
    planned = plan(collection, request(tmp_path / "n.gz"))
    with planned.place.sink(planned.outputs[0], "other inputs") as out:
        out.add(b"something\n", Counts(rows=1))
    write(plan(collection, request(tmp_path / "n.gz")))
    assert [row["qid"] for row in rows(tmp_path / "n.gz")] == ["q1", "q2"]


def test_two_exports_to_one_file_do_not_mix(tmp_path, collection):
    planned = plan(collection, request(tmp_path / "n.gz"))
    with planned.place.sink(planned.outputs[0], "x"), pytest.raises(Conflict, match="another process"):
        write(planned)


@pytest.mark.parametrize(("place", "error", "says"), [
    ("missing/n.gz", InputError, "no such folder"),
    ("folder", InputError, "is a folder"),
    ("/", InputError, "is a folder"),
    ("n.jsonl.bz2", InputError, "not packed as .bz2"),
    ("mine.txt", Conflict, "no export's manifest"),
])  # fmt: skip
def test_bad_places(tmp_path, collection, place, error, says):
    (tmp_path / "folder").mkdir()
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(error, match=says) as caught:
        plan(collection, request(tmp_path / place))
    assert caught.value.hint
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_a_full_disk_is_told(tmp_path, collection):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    (tmp_path / ".n.gz.partial").symlink_to("/dev/full")
    with pytest.raises(InputError, match="cannot be written"):
        write(plan(collection, request(tmp_path / "n.gz")))


def test_a_missing_run_names_the_command(tmp_path, collection):
    with pytest.raises(NotFound) as caught:
        plan(collection, request(tmp_path / "n.gz", systems=["bm25", "msmarco-distilbert-base-v3"]))
    wanted = "msmctl mine --collection small --split train --system msmarco-distilbert-base-v3"
    assert caught.value.hint == wanted
    with pytest.raises(UsageError, match="depth 50, not 51"):
        plan(collection, request(tmp_path / "n.gz", depth=51))
    with pytest.raises(NotFound, match="no split 'dev'"):
        plan(collection, request(tmp_path / "n.gz", split="dev"))


def test_nothing_to_export_fails(tmp_path):
    collection = make(tmp_path, passages=PASSAGES, queries=QUERIES)
    save_run(collection, "bm25", {"q1": ["p1"]})
    with pytest.raises(CheckFailed, match="no query with a positive"):
        plan(collection, request(tmp_path / "n.gz"))


# -- any runs, any judgements --------------------------------------------------------------------------

TEXTS = [
    "Sea salt.",
    "sea, SALT",
    "The moon pulls the sea",
    "Dew",
    "the moon pulls the  sea!",
    "Thunder",
    "x",
]


def plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))


@settings(max_examples=25)
@given(data=st.data())
def test_no_export_holds_what_is_no_negative(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("any")
    pids = [f"p{n}" for n in range(len(TEXTS))]
    ranking = st.lists(st.sampled_from(pids), unique=True)
    judged = data.draw(st.dictionaries(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(pids)),
                                       st.integers(0, 3), min_size=1))  # fmt: skip
    judged[("a", "p0")] = 3
    collection = make(folder, passages=dict(zip(pids, TEXTS, strict=True)), min_rel=2,
                      queries={"train": {"a": "x", "b": "y"}},
                      qrels={"train": [(*pair, grade) for pair, grade in judged.items()]})  # fmt: skip
    ranked = {system: {"a": data.draw(ranking), "b": data.draw(ranking)} for system in ("bm25", TAS_B)}
    for system, lists in ranked.items():
        save_run(collection, system, lists)
    depth = data.draw(st.integers(1, 4))
    planned = plan(collection, request(folder / "n.jsonl.gz", depth=depth))
    assume(survey(planned).negatives.any())
    write(planned)
    assert verify(folder / "n.jsonl.gz", collection).ok
    text = dict(zip(pids, map(plain, TEXTS), strict=True))
    for row in rows(folder / "n.jsonl.gz"):
        positives = {pid for (qid, pid), grade in judged.items() if qid == row["qid"] and grade >= 2}
        above_zero = {pid for (qid, pid), grade in judged.items() if qid == row["qid"] and grade > 0}
        assert set(row["pos"]) == positives
        for system in ranked:
            copies = {text[pid] for pid in positives}
            allowed = [pid for pid in ranked[system][row["qid"]]
                       if pid not in above_zero and text[pid] not in copies]  # fmt: skip
            assert row["neg"][system] == allowed[:depth]
