"""`negatives show` and `negatives stats`: what is told of candidates, in figures and in pictures."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from collection_kit import run_main
from hypothesis import given
from hypothesis import strategies as st
from small_collection import make
from small_runs import save_run
from small_scores import ELECTRA, MINILM, save_scores

from services.negatives.histogram import BINS, Histogram

TAS_B = "msmarco-distilbert-base-tas-b"
TEXTS = {"p1": "moon and tide", "p2": "MOON and tide!", "p3": "salt", "p4": "dew", "p5": "frost"}


@pytest.fixture
def collection(tmp_path, monkeypatch):
    monkeypatch.setenv("MSM_HOME", str(tmp_path))
    collection = make(tmp_path, passages=TEXTS, queries={"train": {"q1": "why tides"}, "test": {"q2": "why"}},
                      qrels={"train": [("q1", "p1", 1)]})  # fmt: skip
    save_run(collection, "bm25", {"q1": ["p1", "p2", "p3", "p4"]})
    save_run(collection, TAS_B, {"q1": ["p4", "p3", "p5"]})
    save_scores(collection, {("q1", "p1"): 6, ("q1", "p2"): 6, ("q1", "p3"): 4, ("q1", "p4"): -2})
    return collection


@pytest.fixture
def msmctl(monkeypatch, capsys):
    return lambda *words: run_main(monkeypatch, capsys, *words)


def test_show_tells_all_that_is_known_of_a_candidate(collection, msmctl):
    found = json.loads(msmctl("negatives", "show", "q1", "--filter", "ce-margin=3", "--json").stdout)
    assert (found["query"], found["split"], found["ce"]) == ("why tides", "train", "ms-marco-MiniLM-L6-v2")
    assert found["positives"] == [{"pid": "p1", "labelled": True, "ce_score": 6.0, "text": "moon and tide"}]
    by_pid = {one["pid"]: one for one in found["candidates"]}
    assert by_pid["p3"] == {
        "pid": "p3",
        "systems": {
            "bm25": {"rank": 3, "score": pytest.approx(11 / 3), "negative": False,
                     "left_out_by": "ce-margin=3,per=lowest"},
            TAS_B: {"rank": 2, "score": 5.0, "negative": False, "left_out_by": "ce-margin=3,per=lowest"},
        },
        "ce_score": 4.0,
        "margin": 2.0,
        "verdict": "likely_positive",
        "reason": "score 4.00, 2.00 below the lowest positive: within the margin of 3",
        "negative": False,
        "text": "salt",
    }  # fmt: skip
    assert [one["pid"] for one in found["candidates"]] == ["p1", "p4", "p2", "p3", "p5"]
    assert by_pid["p4"]["negative"]
    assert by_pid["p2"]["verdict"] == "near_duplicate"
    assert by_pid["p5"]["systems"][TAS_B]["left_out_by"] == "ce-margin=3,per=lowest: not scored"


def test_show_finds_the_split_and_refuses_unknown_queries(collection, msmctl):
    missing = msmctl("negatives", "show", "nobody")
    assert missing.code == 7
    assert "no query 'nobody'" in missing.stderr
    not_mined = msmctl("negatives", "show", "q2")
    assert not_mined.code == 7
    assert "msmctl mine --collection small --split test" in not_mined.stderr


def test_where_several_cross_encoders_scored_none_is_taken_and_all_are_named(collection, msmctl):
    save_scores(collection, {("q1", "p1"): 1, ("q1", "p3"): 0}, ce=ELECTRA)
    answer = msmctl("negatives", "show", "q1", "--json")
    assert json.loads(answer.stdout)["ce"] is None
    assert f"--ce {ELECTRA}" in answer.stderr
    assert f"--ce {MINILM}" in answer.stderr
    assert msmctl("negatives", "stats", "--json").code == 0
    named = json.loads(msmctl("negatives", "show", "q1", "--ce", ELECTRA, "--json").stdout)
    assert named["ce"] == ELECTRA
    refused = msmctl("negatives", "show", "q1", "--filter", "ce-margin=3")
    assert (refused.code, "say which: --ce NAME" in refused.stderr) == (2, True)


def test_show_as_a_table_has_a_line_per_candidate(collection, msmctl):
    lines = msmctl("negatives", "show", "q1").stdout.splitlines()
    assert lines[0].split("\t")[:3] == ["pid", "ranks", "scores"]
    assert len(lines) == 6


def test_show_as_a_table_tells_what_left_a_candidate_out_of_each_system(collection, msmctl):
    options = ["--filter", "rank-range=3:4", "--filter", "ce-margin=3"]
    header, *rows = (
        line.split("\t") for line in msmctl("negatives", "show", "q1", *options).stdout.splitlines()
    )
    told = {row[0]: row[header.index("negative")] for row in rows}
    assert told["p1"] == "positive"  # as of its only system
    assert told["p4"] == f"bm25: yes; {TAS_B}: rank-range=3:4"
    assert told["p3"] == f"bm25: ce-margin=3,per=lowest; {TAS_B}: rank-range=3:4"


def test_stats_count_verdicts_steps_margins_and_overlap(collection, msmctl):
    found = json.loads(msmctl("negatives", "stats", "--filter", "ce-margin=1", "--json").stdout)
    assert found["candidates"] == {"bm25": 4, TAS_B: 3}
    assert found["verdicts"]["positive"] == {"bm25": 1, TAS_B: 0}
    assert found["verdicts"]["near_duplicate"] == {"bm25": 1, TAS_B: 0}
    assert found["negatives"] == {"bm25": 2, TAS_B: 2}
    assert found["overlap"] == {"bm25": {"bm25": 2, TAS_B: 2}, TAS_B: {"bm25": 2, TAS_B: 2}}
    assert sum(found["margins"]["bm25"]["counts"]) == 2  # p3 and p4: 2 and 8
    assert found["margins"][TAS_B]["missing"] == 1  # p5
    assert sum(found["scores"][TAS_B]["counts"]) == 3


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_figures_are_drawn(collection, msmctl, tmp_path, ending):
    done = msmctl("negatives", "stats", "--filter", "ce-margin=3", "--plot", str(tmp_path / f"m.{ending}"))
    assert done.code == 0, done.stderr
    data = (tmp_path / f"m.{ending}").read_bytes()
    if ending == "png":
        assert data.startswith(b"\x89PNG")
    else:
        assert ElementTree.fromstring(data).tag.endswith("svg")


def test_a_plot_s_place_is_checked_first(collection, msmctl, tmp_path):
    assert "a .png or .svg file" in msmctl("negatives", "stats", "--plot", "m.jpg").stderr
    assert "no such folder" in msmctl("negatives", "stats", "--plot", str(tmp_path / "no" / "m.png")).stderr


def test_a_dry_run_of_an_export_writes_nothing_and_tells_what_each_filter_removes(
    collection, msmctl, tmp_path
):
    file = tmp_path / "n.jsonl"
    words = ["export", "hard-negatives", "-o", str(file), "--filter", "ce-margin=3", "--dry-run"]
    told = json.loads(msmctl(*words, "--json").stdout)
    assert told["negatives"] == 2
    assert {one["by"]: one["systems"] for one in told["removed"]}["ce-margin=3,per=lowest"] == {
        "bm25": 1, TAS_B: 1}  # fmt: skip
    assert "- ce-margin=3,per=lowest\t1\t1" in msmctl(*words).stdout.splitlines()
    assert not list(tmp_path.glob("*n.jsonl*"))


@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_an_export_without_any_negative_fails_with_the_margins(collection, msmctl, tmp_path, dry):
    words = ["export", "hard-negatives", "-o", str(tmp_path / "n.jsonl"), "--filter", "ce-margin=20"]
    done = msmctl(*words, *dry)
    assert done.code == 1
    assert "nothing is left of 7 candidates: 1 by positive" in done.stderr
    assert "margins (lowest positive's ce_score - candidate's, in logits)" in done.stderr
    assert "####" in done.stderr
    assert not list(tmp_path.glob("*n.jsonl*"))
    assert not list(tmp_path.glob(".n*"))


def test_the_manifest_of_a_filtered_export_says_how_it_was_filtered(collection, msmctl, tmp_path):
    file = tmp_path / "n.jsonl"
    words = ["export", "hard-negatives", "-o", str(file), "--relabel", "ce>=3.5", "--num", "1"]
    assert msmctl(*words, "--filter", "ce-margin", "--no-marks").code == 0
    inputs = json.loads((tmp_path / "n.jsonl.manifest.json").read_text())["inputs"]
    assert inputs["filters"] == ["ce-margin=3,per=lowest", "top=1"]
    assert inputs["ce"]["name"] == "ms-marco-MiniLM-L6-v2"
    assert (inputs["relabel"], inputs["marks"]) == (3.5, "ignored")
    assert json.loads(file.read_text())["pos"] == ["p1", "p3"]


def test_another_score_makes_another_export(collection, msmctl, tmp_path):
    words = ["export", "hard-negatives", "-o", str(tmp_path / "n.jsonl"), "--filter", "ce-margin", "--json"]
    assert not json.loads(msmctl(*words).stdout)["fresh"]
    assert json.loads(msmctl(*words).stdout)["fresh"]
    save_scores(collection, {("q1", "p5"): -1})
    assert not json.loads(msmctl(*words).stdout)["fresh"]


# -- histograms ----------------------------------------------------------------------------------------

VALUES = st.lists(st.floats(-1e6, 1e6, width=32) | st.just(float("nan")), max_size=60)


@given(values=VALUES, cut=st.integers(0, 60))
def test_a_histogram_counts_every_value_once_in_its_bin_whatever_the_order(values, cut):
    one, other = Histogram(), Histogram()
    one.add(np.array(values, np.float32))
    other.add(np.array(values[cut:], np.float32))
    other.add(np.array(values[:cut], np.float32))
    assert one.as_dict() == other.as_dict()
    known = [value for value in values if value == value]
    assert (one.total, one.missing) == (len(known), len(values) - len(known))
    assert len(one.counts) <= BINS
    for lo, hi, count in zip(one.edges, one.edges[1:], one.counts, strict=False):
        assert count == sum(lo <= value < hi for value in known)
