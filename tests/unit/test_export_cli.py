"""`msmctl export FORMAT`: what docs/export.md tells to type works; JSON, exit codes, options."""

from __future__ import annotations

import json
import shlex

import pytest
from collection_kit import run_main
from export_kit import loaded, small
from jsonschema import Draft202012Validator

from services.exports.registry import FORMATS
from tests.conftest import ROOT
from tests.docs_kit import commands

SCHEMA = Draft202012Validator(json.loads((ROOT / "docs" / "schemas" / "export.json").read_text("utf-8")))


@pytest.fixture
def msmctl(tmp_path, monkeypatch, capsys):
    """The command line on a small collection with scores, in its own folder."""
    monkeypatch.setenv("MSM_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    small(tmp_path / "home")

    def run(*words):
        return run_main(monkeypatch, capsys, *words)

    assert run("collection", "use", "small").code == 0
    return run


def test_every_export_of_the_page_works(msmctl, tmp_path):
    typed = [shlex.split(line, comments=True)[1:] for line in commands(ROOT / "docs" / "export.md")]
    exports = [words for words in typed if words[0] == "export"]
    assert len(exports) > 16
    for words in exports:
        done = msmctl(*words)
        assert done.code == 0, f"{words}\n{done.stderr}"
    assert len(loaded(tmp_path / "out", "triplet-hard")) == 7  # three for each of two positives, and one


def test_the_page_lists_every_format():
    page = (ROOT / "docs" / "export.md").read_text("utf-8")
    assert [name for name in FORMATS if f"`{name}`" not in page] == []


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_prints_json_of_the_documented_shape(msmctl, name):
    more = ["--system", "bm25"] if name == "trec-run" else []
    if "num-negatives" in FORMATS[name].defaults:
        more = ["--num-negatives", "2"]
    for words in ["--dry-run"], []:
        done = msmctl("export", name, "-o", "place", *more, *words, "--json")
        if name.startswith("triplet-50"):  # there are no fifty candidates, as a dry run says too
            assert (done.code, "no query has enough" in done.stderr) == (1, True)
            continue
        assert done.code == 0, done.stderr
        printed = json.loads(done.stdout)
        SCHEMA.validate(printed)
        assert (printed["files"] is None) == bool(words)


def test_what_is_there_is_not_written_again(msmctl):
    assert "fresh" not in msmctl("export", "triplet", "-o", "out").stderr
    again = msmctl("export", "triplet", "-o", "out", "--json")
    assert "fresh, skipped" in again.stderr
    assert json.loads(again.stdout)["fresh"]


def test_an_export_of_nothing_ends_with_1_and_shows_where_the_margins_lie(msmctl, tmp_path):
    done = msmctl("export", "triplet-hard", "-o", "out", "--filter", "ce-margin=50")
    assert done.code == 1
    assert "7 by ce-margin=50" in done.stderr
    assert "margins" in done.stderr
    assert "###" in done.stderr
    assert not (tmp_path / "out").exists()


def test_formats_of_scores_and_runs_have_no_options_of_negatives(msmctl):
    assert msmctl("export", "scores-pickle", "-o", "s.pkl", "--filter", "ce-margin=3").code == 2
    assert msmctl("export", "trec-run", "-o", "r.trec", "--num", "3").code == 2
    assert msmctl("export", "n-tuple", "-o", "out", "--num-negatives", "0").code == 2
